"""A language model that asks to look, here a script of what one would call: all of `page.png`, a box of it, and a box that is none.

A model is told of `look` by `tool.description`, and its calls go to `tool.call`; `homunculus agent FOLDER` serves the same to programs that
speak the Model Context Protocol. You should see `asked.png`: the whole page at a sixth of its scale, where the table at its foot cannot
be read, and beside it that table, pixel for pixel, for no more tokens; and on the terminal what the model is told, the refusal too, which
names the page's real size.
"""

import io
import json
import runpy
import sys
from pathlib import Path

from PIL import Image

import homunculus as hm
from homunculus.loop.folders import PictureFolders
from homunculus.loop.tool import LookTool

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
if not (out / "page.png").exists():
    runpy.run_path(str(Path(__file__).with_name("01_make_page.py")))

CALLS = [{"image": "page.png"}, {"image": "page.png", "region": [250, 3010, 1150, 3240]}]
sheet = Image.new("RGB", (1400, 640), "gray")

with LookTool(PictureFolders([out])) as tool:
    print(tool.description["name"], *tool.description["parameters"]["properties"])
    for place, call in enumerate(CALLS):
        seen = tool.call(call)
        print(json.dumps(call), "->", seen.text)
        sheet.paste(Image.open(io.BytesIO(seen.pictures[0].png)), (20 + 440 * place, 20))
    try:
        tool.call({"image": "page.png", "region": [2000, 3000, 3000, 4000]})
    except hm.PlanError as refused:
        print("refused:", refused)

sheet.save(out / "asked.png")
print(out / "asked.png")
