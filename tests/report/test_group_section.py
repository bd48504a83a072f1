"""The table of several results: links, what is far from the others, and other protocols."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from shd.report.group_section import group_section, outlying
from shd.report.outliers import modified_z_scores
from shd.report.result_section import Described, result_section
from tests.report.test_concerns import SOUND
from tests.support.fits import record
from tests.support.html import Page

DENSITIES = (0.80, 0.81, 0.79, 0.82, 0.50, 0.805)


def described(number, density, **changed):
    held = record((3, 4, 5), 40, {})
    given = {"voxel_sizes": (2.0, 2.0, 2.0), "record": held, **changed}
    return Described(
        f"sub-{number}", f"result-{number}", Path(f"/d/sub-{number}"), given["record"],
        replace(SOUND, density=density), 0.1, 12, given["voxel_sizes"], ("one",) * (number == 2),
        ("a file: is not there",),
    )  # fmt: skip


RESULTS = [described(number, density) for number, density in enumerate(DENSITIES)]


def test_the_one_far_from_the_others_is_marked_with_its_score():
    score = modified_z_scores(np.array(DENSITIES))[4]
    assert outlying(RESULTS) == {"AFD": {"sub-4": score}} and score < -3.5
    page = Page(group_section(RESULTS))
    assert page.marked == [f"modified z-score {score:.1f}"]
    assert page.links == [f"#result-{number}" for number in range(6)]
    assert "sub-2 1 100" in page.words and "sub-3 0 100" in page.words  # concerns, then voxels
    assert "SNR SNR" not in page.words and page.words.count("0.500") == 1  # of what no result has there is no column


def test_of_few_results_nothing_is_marked_and_the_page_says_so():
    assert outlying(RESULTS[1:5]) == {}
    page = Page(group_section(RESULTS[1:5]))
    assert page.marked == [] and "Of fewer than 5 results no number is marked" in page.words


def test_another_protocol_is_marked():
    other = described(6, 0.8, voxel_sizes=(1.25, 1.25, 1.25))
    unknown = described(7, 0.8, record={})
    page = Page(group_section([*RESULTS[:4], other, unknown]))
    assert page.marked.count("another protocol") == 2 and "shells unknown" in page.words


def test_links_lead_to_the_results_parts():
    parts = [result_section(result, {}) for result in RESULTS]
    page = Page(group_section(RESULTS) + "".join(parts))
    assert {link.removeprefix("#") for link in page.links} == set(page.anchors)


def test_a_part_says_what_is_missing_what_to_look_at_and_what_comes_next(tmp_path):
    folder = tmp_path / "a b"
    page = Page(result_section(replace(RESULTS[2], folder=folder), {}))
    assert "a file: is not there" in page.words and "To look at one" in page.words
    assert f"mrview '{folder}/wm_fod.nii.gz'" in page.words and f"shd track '{folder}' --out" in page.words
    calm = Page(result_section(replace(RESULTS[3], missing=()), {}))
    assert "Missing files" not in calm.words and "No check of this page was conspicuous" in calm.words
    assert "40 · 30 · 20 · 10 · 0 · 0" in calm.words and "40.0% of the mask" in calm.words
    assert "2.5% no fibre, 50.0% two or more" in calm.words
