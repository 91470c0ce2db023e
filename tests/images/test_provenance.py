"""What a file says was done to it is added to its XMP data, of which nothing else changes."""

from xml.etree import ElementTree

import numpy as np
import pytest

from pellucid.images.provenance import restorations, with_event

EVENT = {"tool": "pellucid", "version": "1.2.3", "task": "denoise", "weights": "net", "strength": 0.5}
LINE = "pellucid 1.2.3 (task: denoise; weights: net; strength: 0.5)"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
HISTORY = "{http://ns.adobe.com/xap/1.0/mm/}History"
FIELDS = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
NAMES = f'xmlns:rdf="{RDF[1:-1]}" xmlns:xmpMM="{HISTORY[1:-8]}" xmlns:stEvt="{FIELDS[1:-1]}"'

HEAD = "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>\n"
TAIL = "   \n" * 9 + "<?xpacket end='w'?>"
# As Lightroom writes it, with elements as exiftool does, with nothing in it, with a history without events of its own,
# under another prefix, without a wrapper, about something.
PACKETS = {
    "attributes": f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe"><rdf:RDF {NAMES}>
      <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="été">
       <xmpMM:History><rdf:Seq><rdf:li stEvt:action="derived" stEvt:parameters="raw"/></rdf:Seq></xmpMM:History>
      </rdf:Description></rdf:RDF></x:xmpmeta>""",
    "elements": f"""<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {NAMES}><rdf:Description rdf:about=''><xmpMM:History>
      <rdf:Seq><rdf:li rdf:parseType='Resource'><stEvt:softwareAgent>pellucid 0.0.9</stEvt:softwareAgent>
      <stEvt:parameters>task: denoise</stEvt:parameters></rdf:li></rdf:Seq></xmpMM:History></rdf:Description>
      </rdf:RDF></x:xmpmeta>""",
    "nothing": f"<rdf:RDF {NAMES}></rdf:RDF>",
    "empty list": f"""<rdf:RDF {NAMES}><rdf:Description rdf:about=""><xmpMM:History><rdf:Seq></rdf:Seq></xmpMM:History>
      </rdf:Description></rdf:RDF>""",
    "another prefix": f'<r:RDF xmlns:r="{RDF[1:-1]}"><r:Description r:about="uuid:1&amp;2"/></r:RDF>',
    "old": f'<rdf:RDF {NAMES}><rdf:Description about="it"/></rdf:RDF>',
}


def events(xmp):
    """The history as an independent reader sees it: a dictionary of attributes for each event."""
    (history,) = ElementTree.fromstring(xmp.decode()).iter(HISTORY)
    return [dict(item.attrib) for item in history.find(f"{RDF}Seq")]


def outside_of(longer, shorter):
    """What was inserted, in one place, to make the one from the other."""
    at = next(i for i in range(len(longer)) if longer[: i + 1] != shorter[: i + 1])
    for start in range(at, -1, -1):
        if longer[start + len(longer) - len(shorter) :] == shorter[start:]:
            return longer[start : start + len(longer) - len(shorter)]
    raise AssertionError("more than one place differs")


def test_new_packet():
    xmp = with_event(None, EVENT)
    assert events(xmp) == [
        {
            f"{FIELDS}action": "edited",
            f"{FIELDS}softwareAgent": "pellucid 1.2.3",
            f"{FIELDS}parameters": "task: denoise; weights: net; strength: 0.5",
        }
    ]
    assert xmp.startswith(b"<?xpacket begin=")
    assert xmp.endswith(b'<?xpacket end="w"?>')
    assert restorations(xmp) == (LINE,)
    assert with_event(b"", EVENT) == xmp == with_event(None, EVENT)


@pytest.mark.parametrize("name", PACKETS)
@pytest.mark.parametrize(("head", "tail"), [("", ""), (HEAD, TAIL), ("\ufeff", "\0\0")])
def test_nothing_but_an_insertion(name, head, tail):
    old = f"{head}{PACKETS[name]}{tail}".encode()
    new = with_event(old, EVENT)
    assert b"pellucid 1.2.3" in outside_of(new, old)
    before, after = (ElementTree.fromstring(xmp.decode().strip("\ufeff\0")) for xmp in (old, new))
    assert restorations(new) == (*restorations(old), LINE)
    abouts = {d.get(f"{RDF}about", d.get("about")) for d in after.iter(f"{RDF}Description")}
    assert len(abouts) == 1
    counts = [len([item for history in root.iter(HISTORY) for item in history[0]]) for root in (before, after)]
    assert counts[1] == counts[0] + 1


def test_restored_twice_is_two_events_of_one_history():
    once = with_event(PACKETS["attributes"].encode(), EVENT)
    twice = with_event(once, {**EVENT, "strength": 1})
    assert restorations(twice) == (LINE, LINE.replace("0.5", "1"))
    assert [event[f"{FIELDS}action"] for event in events(twice)] == ["derived", "edited", "edited"]
    new = with_event(with_event(None, EVENT), EVENT)
    assert len(events(new)) == 2


@pytest.mark.parametrize(
    "name", ['"/><evil a="', "]]>&amp;<!--", "été – 写真", "a\x00\x1b[31m\ud800\uffff", "a\r\nb'\""]
)
def test_any_name_is_well_formed(name):
    xmp = with_event(None, {**EVENT, "weights": name})
    (event,) = events(xmp)
    shown = event[f"{FIELDS}parameters"].removeprefix("task: denoise; weights: ").removesuffix("; strength: 0.5")
    assert shown == name.translate(dict.fromkeys((0, 0x1B, 0xD800, 0xFFFF), "\ufffd"))
    (line,) = restorations(xmp)
    assert line.isprintable()


DAMAGED = {
    "no XML": b"<rdf:RDF",
    "undeclared names": b'<x:xmpmeta><rdf:Description tiff:Orientation="1"/></x:xmpmeta>',
    "no descriptions": b"<xmpmeta/>",
    "nothing but an empty tag": f"<rdf:RDF {NAMES}/>".encode(),
    "an empty list": PACKETS["empty list"].replace("<rdf:Seq></rdf:Seq>", "<rdf:Seq/>").encode(),
    "UTF-16": PACKETS["nothing"].encode("utf-16"),
    "unknown encoding": f"<?xml version='1.0' encoding='klingon'?>{PACKETS['nothing']}".encode(),
    "entities": f"<!DOCTYPE a [<!ENTITY e 'eeee'>]>{PACKETS['nothing']}".encode(),
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_packets_are_left_alone(name):
    assert with_event(DAMAGED[name], EVENT) is None
    assert restorations(DAMAGED[name]) == ()


def test_cut_and_garbled_packets_give_no_other_error():
    rng, whole = np.random.default_rng(0), f"{HEAD}{PACKETS['attributes']}{TAIL}".encode()
    for _ in range(300):
        garbled = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.5 else whole)
        for at in rng.integers(0, len(garbled), rng.integers(0, 4)):
            garbled[at] = rng.integers(0, 256)
        new = with_event(bytes(garbled), EVENT)
        assert new is None or LINE in restorations(new)
        restorations(bytes(garbled))


def test_events_of_others_are_not_ours():
    assert restorations(None) == ()
    assert restorations(PACKETS["attributes"].encode()) == ()
    assert restorations(PACKETS["elements"].encode()) == ("pellucid 0.0.9 (task: denoise)",)
