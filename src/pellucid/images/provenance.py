"""What a file says was done to it: events in the history of its XMP data.

XMP has a place for this, `xmpMM:History`: a list of events, each with an `action`, the `softwareAgent` and free
`parameters` (Adobe's XMP specification, part 2: "XMP Media Management namespace" and "ResourceEvent"). Photoshop and
Lightroom keep their own steps there, and exiftool prints it as History Action, History Software Agent and History
Parameters; a namespace of our own would be shown by neither. The time of an event is left out, so that the same picture
always gives the same file.
"""

import re
from collections.abc import Mapping
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MEDIA_MANAGEMENT = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
# As the parser below names elements: namespace, space, name.
_ROOT, _DESCRIPTION, _LIST, _ITEM = (f"{_RDF} {name}" for name in ("RDF", "Description", "Seq", "li"))
_HISTORY = f"{_MEDIA_MANAGEMENT} History"

_NEW_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta>\n'
    '<?xpacket end="w"?>'
).encode()
_END_TAG = re.compile(rb"</([^\s:>]+:)?(RDF|Seq)\s*>")
_TOOL = "pellucid"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML cannot hold


def with_event(xmp: bytes | None, event: Mapping[str, object]) -> bytes | None:
    """An XMP packet with one more event at the end of its history; every byte that was there stays.

    Args:
        xmp: the packet; None for a new one.
        event: "version" of this tool; everything else but "tool" becomes the parameters, in this order.

    Returns:
        The packet; None where it is damaged, or so unusual that nothing can be added without changing what is there.
    """
    xmp = xmp or _NEW_PACKET
    packet = _read(xmp)
    if packet is None or packet.end is None:
        return None
    agent = f"{_TOOL} {event['version']}"
    parameters = "; ".join(f"{name}: {value}" for name, value in event.items() if name not in ("tool", "version"))
    addition = (
        f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}" stEvt:action="edited"'
        f" stEvt:softwareAgent={_quoted(agent)} stEvt:parameters={_quoted(parameters)}/>"
    )
    at = packet.history_end
    if at is None:
        at = packet.end
        addition = (
            f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={_quoted(packet.about)} xmlns:xmpMM="{_MEDIA_MANAGEMENT}">'
            f"<xmpMM:History><rdf:Seq>{addition}</rdf:Seq></xmpMM:History></rdf:Description>"
        )
    if not _END_TAG.match(xmp, at):  # an empty list written as one tag, or an encoding that ASCII is no part of
        return None
    return xmp[:at] + addition.encode("ascii", "xmlcharrefreplace") + xmp[at:]


def restorations(xmp: bytes | None) -> tuple[str, ...]:
    """What this tool did to the file, a line for each time: "pellucid 0.1.0 (task: denoise; …)"."""
    packet = _read(xmp) if xmp else None
    found = [(event.get("softwareAgent", ""), event.get("parameters", "")) for event in packet.events] if packet else []
    lines = [f"{agent} ({parameters})" for agent, parameters in found if agent.split(" ")[0] == _TOOL]
    return tuple("".join(letter if letter.isprintable() else " " for letter in line) for line in lines)


class _Packet:
    """The history in a packet, and where in its bytes more can be said.

    Attributes:
        about: what the descriptions say they are about, which must be the same for all.
        end, history_end: where the end tags of the descriptions and of the list of events stand; None without one.
        events: the fields of each event.
    """

    def __init__(self) -> None:
        self.about = ""
        self.end: int | None = None
        self.history_end: int | None = None
        self.events: list[dict[str, str]] = []
        self._path: list[str] = []
        self._event_depth = 0  # of the event that is being read; 0 outside
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._finish
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse

    def parse(self, xmp: bytes) -> None:
        """Read all of it; raises ExpatError, ValueError or LookupError where it is damaged."""
        self._parser.Parse(xmp, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if self._path[-2:] == [_ROOT, _DESCRIPTION]:
            self.about = self.about or attributes.get(f"{_RDF} about", attributes.get("about", ""))
        if self._path[-5:] == [_ROOT, _DESCRIPTION, _HISTORY, _LIST, _ITEM]:
            self.events.append({})
            self._event_depth = len(self._path)
        if self._event_depth:  # programs write its fields as attributes or as elements
            self.events[-1] |= {_field(key): value for key, value in attributes.items() if key.startswith(_EVENT)}

    def _text(self, text: str) -> None:
        if self._event_depth and self._path[-1].startswith(_EVENT):
            name = _field(self._path[-1])
            self.events[-1][name] = self.events[-1].get(name, "") + text

    def _finish(self, name: str) -> None:
        if name == _ROOT:
            self.end = self._parser.CurrentByteIndex
        elif self._path[-4:] == [_ROOT, _DESCRIPTION, _HISTORY, _LIST]:
            self.history_end = self._parser.CurrentByteIndex
        if len(self._path) == self._event_depth:
            self._event_depth = 0
        self._path.pop()

    def _refuse(self, *_: object) -> None:
        raise ValueError("XMP declares no types and no entities")


def _read(xmp: bytes) -> _Packet | None:
    """What the packet holds; None where it is damaged."""
    packet = _Packet()
    try:
        packet.parse(xmp.rstrip(b"\0"))  # some programs end it like a string of C
    except (expat.ExpatError, ValueError, LookupError):
        return None
    return packet


def _field(name: str) -> str:
    """The name of a field without its namespace."""
    return name.rpartition(" ")[2]


def _quoted(text: str) -> str:
    """The text as the value of an attribute, with its quotes."""
    return quoteattr(_NO_XML.sub("\ufffd", text))
