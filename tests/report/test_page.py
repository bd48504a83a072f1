"""HTML whose texts are shown as they are, and whose pictures need no file."""

import io

import numpy as np
from matplotlib import image as png

from shd.report.page import PAGE_END, code, items, link, page_start, picture, rows, section, table, text
from tests.support.html import Page

ODD = '<b>"a" & \'b\'</b>'


def test_every_text_is_shown_as_it_is():
    parts = [text(ODD, "path"), items([ODD]), rows({ODD: ODD}), code([ODD, ODD]), table([ODD], [[link(ODD, "a")]])]
    page = Page(page_start(ODD) + section(ODD, parts, "a") + PAGE_END)
    assert page.text.count(ODD) == 10 - 2 + 1 and f"{ODD}\n{ODD}" in page.text  # title and heading are two of them
    assert page.links == ["#a"] and page.anchors == ["a"]


def test_a_picture_is_part_of_the_page_or_beside_it():
    buffer = io.BytesIO()
    png.imsave(buffer, np.eye(5), format="png")
    page = Page(picture(buffer.getvalue(), ODD, ODD) + picture('a"b.png', "beside"))
    assert page.pictures[ODD].shape == (5, 5, 3) and page.addresses == ['a"b.png']
    assert page.text == [ODD]
