#!/usr/bin/env python3
"""The corpus of each target is one file, fuzz/TARGET.corpus: an input a line, in base64. cargo-fuzz reads a folder.

`fuzz/packed.py unpack TARGET` makes fuzz/corpus/TARGET/, and `pack TARGET` writes what `cargo fuzz cmin TARGET` left there."""

import base64
import hashlib
import pathlib
import sys

action, target = sys.argv[1:]
fuzz = pathlib.Path(__file__).parent
packed, folder = fuzz / f"{target}.corpus", fuzz / "corpus" / target
if action == "pack":
    inputs = sorted({path.read_bytes() for path in folder.iterdir()}, key=lambda data: (len(data), data))
    packed.write_text("".join(base64.b64encode(data).decode() + "\n" for data in inputs))
elif action == "unpack":
    folder.mkdir(parents=True, exist_ok=True)
    for line in packed.read_text().splitlines():
        data = base64.b64decode(line)
        (folder / hashlib.sha256(data).hexdigest()).write_bytes(data)
else:
    sys.exit(__doc__)
