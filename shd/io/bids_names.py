"""Names of BIDS derivatives: patterns with fields and optional sections, two built in, others from a file."""

import configparser
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from shd.errors import FormatError

__all__ = ["KINDS", "TEMPLATES", "Entities", "NameTemplate", "checked_label", "entities_of", "read_template"]

FIELDS = ("subject", "session", "other", "space", "after", "param", "label", "desc", "suffix")
SUFFIXES = {
    "fod": "dwimap", "peaks": "dwimap", "mask": "mask", "field": "dwimap", "response": "response", "figure": "odfs",
}  # fmt: skip
KINDS = tuple(SUFFIXES)
"""What has a name: fods of each tissue, peaks, mask, field of intensity, responses of each tissue, figure."""
_PARAMS = {"peaks": "peaks", "mask": "mask", "field": "norm", "figure": "odfs"}
_ENDINGS = {
    **dict.fromkeys(("fod", "peaks", "mask", "field"), (".nii.gz", ".nii", ".mif", ".mif.gz")),
    "response": (".txt",),
    "figure": (".png",),
}

_SCAN = "sub-{subject}[_ses-{session}][_{other}][_space-{space}][_{after}]"
_DWI = "sub-{subject}[/ses-{session}]/dwi/" + _SCAN
_COMMON = {
    **dict.fromkeys(("peaks", "field"), _DWI + "_model-shd_param-{param}[_desc-{desc}]_{suffix}.nii.gz"),
    "mask": _DWI + "_desc-brain_{suffix}.nii.gz",
    "figure": "sub-{subject}/figures/" + _SCAN + "_model-shd[_desc-{desc}]_{suffix}.png",
}
TEMPLATES: Mapping[str, Mapping[str, str]] = {
    # The draft of diffusion derivatives (BEP016), which has no name for text files of responses.
    "bep016": {
        **_COMMON,
        "fod": _DWI + "_model-shd_param-{param}[_desc-{desc}]_{suffix}.nii.gz",
        "response": _DWI + "_model-shd_param-{param}[_desc-{desc}]_{suffix}.txt",
    },
    # What QSIRecon writes: MRtrix's format, one parameter for all tissues, which a label tells apart, and responses
    # beside their fODFs.
    "qsirecon": {
        **_COMMON,
        "fod": _DWI + "_model-shd_param-fod_label-{label}[_desc-{desc}]_{suffix}.mif.gz",
        "response": _DWI + "_model-shd_param-fod_label-{label}[_desc-{desc}]_dwimap.txt",
    },
}

_FIELD = re.compile(r"\{([^{}]*)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_AFTER_SPACE = ("chunk", "seg", "res", "den")  # in the order of the BIDS schema
_LABEL = re.compile(r"[0-9A-Za-z+]+")


@dataclass(frozen=True)
class Entities:
    """What tells a scan's files from another's; labels without their keys, empty where there is none.

    other: further entities as they stand in the scan's name, `acq-96_run-1`. desc: of a variant, `normalised`. after:
    those that BIDS puts after the space, `res-2_den-32k`.
    """

    subject: str
    session: str = ""
    other: str = ""
    space: str = ""
    desc: str = ""
    after: str = ""

    @property
    def scan(self) -> str:
        """What tells the scan from others of the session: `acq-96_run-1_space-T1w_res-2`."""
        return "_".join(filter(None, (self.other, self.space and f"space-{self.space}", self.after)))


@dataclass(frozen=True)
class NameTemplate:
    """Patterns of names by kind. `{field}` is filled in; `[section]` is left out where a field in it is empty."""

    name: str
    patterns: Mapping[str, str]

    def path(self, kind: str, entities: Entities, tissue: str = "") -> Path:
        """Return the file's path below the dataset's folder.

        kind: one of KINDS. tissue: wm, gm or csf, of fods and responses. Raises FormatError where the pattern needs an
        entity that the scan has not, or leads out of the dataset.
        """
        values = {field.name: getattr(entities, field.name) for field in fields(entities)}
        values |= {"param": _PARAMS.get(kind, tissue), "label": tissue.upper() or "WM", "suffix": SUFFIXES[kind]}
        pattern = self.patterns[kind]
        whole = _OPTIONAL.sub(lambda part: part[1] if all(values[f] for f in _FIELD.findall(part[1])) else "", pattern)
        absent = [field for field in _FIELD.findall(whole) if not values[field]]
        if absent:
            raise FormatError(
                f"{self.name}, {kind}: {pattern!r} needs {{{absent[0]}}}, which sub-{entities.subject} has not; put "
                f"that part in brackets, [_{absent[0]}-{{{absent[0]}}}], to leave it out where there is none"
            )
        path = PurePosixPath(_FIELD.sub(lambda field: values[field[1]], whole))
        if path.is_absolute() or ".." in path.parts:
            raise FormatError(f"{self.name}, {kind}: {path} leads out of the dataset; begin with sub-{{subject}}/")
        return Path(path)

    def paths(self, entities: Entities, outputs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Path]:
        """Return the path of each (kind, tissue). Raises FormatError where two would be one file."""
        found: dict[tuple[str, str], Path] = {}
        for kind, tissue in outputs:
            path = self.path(kind, entities, tissue)
            twins = [key for key, other in found.items() if other == path]
            if twins:
                raise FormatError(
                    f"{self.name}: {' '.join(twins[0]).strip()} and {f'{kind} {tissue}'.strip()} are both called "
                    f"{path}; tell them apart by {{param}}, {{label}} or {{suffix}}"
                )
            found[kind, tissue] = path
        return found


def read_template(template: str | Path) -> NameTemplate:
    """Return a built-in template by its name, or that of a file: JSON {kind: pattern}, or INI with a section [names].

    Kinds that the file leaves out are called as in bep016. Raises FormatError for an unknown name, kind or field, a
    pattern without {subject}, or an ending that the kind is not written with.
    """
    if str(template) in TEMPLATES:
        return NameTemplate(str(template), TEMPLATES[str(template)])
    path = Path(template)
    if not path.is_file():
        raise FormatError(
            f"{template}: no such template; give one of {', '.join(TEMPLATES)}, or a JSON or INI file of patterns"
        )
    given = _patterns(path)
    for kind, pattern in given.items():
        _check_pattern(f"{path}, {kind}", kind, pattern)
    return NameTemplate(str(path), {**TEMPLATES["bep016"], **given})


def _patterns(path: Path) -> dict[str, str]:
    """Return what the file holds; raises FormatError where that is no table of texts under known kinds."""
    try:
        if path.suffix.lower() == ".ini":
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string(path.read_text(encoding="utf-8"))
            content = dict(parser["names"])
        else:
            content = json.loads(path.read_text(encoding="utf-8"))
    except KeyError:
        raise FormatError(f"{path}: no section [names]; put the patterns under it") from None
    except (OSError, ValueError, configparser.Error) as error:
        raise FormatError(f"{path}: not readable as a template ({error}); give JSON, or INI ending in .ini") from error
    if not isinstance(content, dict) or not all(isinstance(pattern, str) for pattern in content.values()):
        raise FormatError(f'{path}: not a table of patterns; give {{"fod": "sub-{{subject}}/…", …}}')
    unknown = [kind for kind in content if kind not in KINDS]
    if unknown or not content:
        wrong = f"{unknown[0]!r} is none of the {len(KINDS)} names" if unknown else f"0 of {len(KINDS)} names"
        raise FormatError(f"{path}: {wrong} that a template may give: {', '.join(KINDS)}")
    return content


def _check_pattern(where: str, kind: str, pattern: str) -> None:
    found = _FIELD.findall(pattern)
    unknown = [field for field in found if field not in FIELDS]
    if unknown:
        raise FormatError(
            f"{where}: unknown field {{{unknown[0]}}} in {pattern!r}; the {len(FIELDS)} fields are {', '.join(FIELDS)}"
        )
    rest = _OPTIONAL.sub("", _FIELD.sub("", pattern))
    if any(mark in rest for mark in "{}[]"):
        raise FormatError(f"{where}: a brace or bracket without its other half in {pattern!r}; brackets do not nest")
    if "subject" not in _FIELD.findall(_OPTIONAL.sub("", pattern)):
        raise FormatError(f"{where}: no {{subject}} in {pattern!r}, so all subjects would be one file; add it")
    if not pattern.endswith(_ENDINGS[kind]):
        raise FormatError(f"{where}: {pattern!r} does not end in {' or '.join(_ENDINGS[kind])}; change the ending")


def checked_label(key: str, label: str) -> str:
    """Return a label without its key, `sub-01` and `01` alike. Raises FormatError for what BIDS does not allow."""
    bare = label.removeprefix(f"{key}-")
    if not _LABEL.fullmatch(bare):
        raise FormatError(f"{key}-{bare}: a BIDS label is of letters and digits only; give one like {key}-01")
    return bare


def entities_of(name: str) -> Entities:
    """Return the entities in a scan's name: `sub-01_ses-1_acq-96_space-T1w`, with or without `_desc-…_dwi` and ending.

    Raises FormatError where there is no subject.
    """
    pairs = [part.partition("-") for part in Path(name).name.partition(".")[0].split("_")]
    labels = {key: label for key, mark, label in pairs if mark and label}
    if "sub" not in labels:
        raise FormatError(f"{name}: no subject; a BIDS name begins with sub-<label>")
    known = ("sub", "ses", "space", "desc", *_AFTER_SPACE)
    other = "_".join(f"{key}-{label}" for key, label in labels.items() if key not in known)
    after = "_".join(f"{key}-{labels[key]}" for key in _AFTER_SPACE if key in labels)
    return Entities(labels["sub"], labels.get("ses", ""), other, labels.get("space", ""), after=after)
