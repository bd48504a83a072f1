"""Pages as a browser takes them: every element closed, every picture decoded, every link with an end."""

import base64
import io
from html.parser import HTMLParser

import matplotlib.image
import numpy as np

VOID = ("img", "meta", "br")


class Page(HTMLParser):
    """A page read whole: text, pictures (RGB), anchors, links, addresses. Fails where an element is not ended."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.pictures: dict[str, np.ndarray] = {}
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.marked: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.anchors += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.marked += [given["title"]] if given.get("class") == "far" else []
        source = given.get("src", "")
        if source.startswith("data:image/png;base64,"):
            png = base64.b64decode(source.partition(",")[2], validate=True)
            self.pictures[given["alt"]] = matplotlib.image.imread(io.BytesIO(png))[..., :3]
        elif source:
            self.addresses.append(source)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        """All text, blanks as one."""
        return " ".join(" ".join(self.text).split())
