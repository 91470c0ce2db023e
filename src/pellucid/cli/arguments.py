"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.options import parse_path

Pictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN...", parser=parse_path, help="Pictures, folders, and patterns such as 'scans/**/*.tif'."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        parser=parse_path,
        help="A file, or a folder, made if needed [beside the original; of a folder FOLDER-restored].",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="denoise|dejpeg|sr|deblur|demosaic|defocus|derain",
        help="What to do [what the weights are for, else denoise].",
    ),
]
Scale = Annotated[int | None, typer.Option(metavar="2|4", help="How many times larger sr makes pictures [2].")]
Strength = Annotated[float, typer.Option(metavar="0..1", help="How much of the change to apply; 0 none.")]
Precision = Annotated[str, typer.Option(metavar="auto|float32|bfloat16|float16", help="Precision of the network.")]
Weights = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="Bundled weights, a weight file, or the folder of a run.")
]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Stay within this, such as 2GiB [half of free memory].")
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute.")]
SelfEnsemble = Annotated[
    bool, typer.Option("--self-ensemble", help="Average over eight orientations; eight times as slow.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="What the authors' weights leave open, as num_heads=2,4,6,8."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Recursive = Annotated[bool, typer.Option("--recursive", help="Take the folders in a folder too, mirrored in OUT.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist, never an original.")]
Compare = Annotated[
    bool, typer.Option("--compare", help="Show before and after beside each result: NAME-compare.png and .html.")
]
NoProvenance = Annotated[
    bool, typer.Option("--no-provenance", help="Do not tell in the result's XMP data how it was made.")
]
