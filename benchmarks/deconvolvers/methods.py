"""Every method of the accuracy tables by its key: what it is called, what it needs, and the one call that runs it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deconvolvers.mrtrix import mrtrix_installed, multi_tissue_deconvolution, single_shell_deconvolution
from benchmarks.deconvolvers.multi_tissue import convex_solver_installed, dipy_multi_tissue_deconvolution
from benchmarks.deconvolvers.pretrained import ESTIMATE, PACKAGED, answer, missing_model
from benchmarks.deconvolvers.richardson_lucy import richardson_lucy
from benchmarks.deconvolvers.training import PUBLISHED, PUBLISHED_TV, Budget, train_and_deconvolve
from shd.errors import ShdError
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.fodf.field import FodField
from shd.scans.scan import Scan
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.training.losses.objective import LossWeights

__all__ = ["METHODS", "OURS", "Method", "MethodError", "applied", "chosen_methods", "network_of", "separable"]

OURS = "shd-fit"
"""The key of what `shd fit` does."""

Run = Callable[[Scan, tuple[Response, ...], Budget], FodField]


class MethodError(ShdError):
    """A method that does not exist, or cannot be run here."""


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    run: takes a scan, its responses (white matter first) and a budget, which only trained methods look at. trained:
    whether it does. own: whether it is of this package and looks at no budget. voxelwise: whether a voxel's answer
    depends on no other's, so that a smaller mask only saves time. missing: why it cannot run on this machine, None
    where it can. minutes: about how long it takes on the phantom "tangle" on two cores, beside its training: for saying
    beforehand how long a table takes.
    """

    name: str
    run: Run
    trained: bool = False
    own: bool = False
    voxelwise: bool = False
    missing: Callable[[], str | None] = lambda: None
    minutes: float = 0.1

    @property
    def rival(self) -> bool:
        """Whether it is of others, and no network: those get as many tissues as have unique amounts."""
        return not (self.trained or self.own)


def separable(responses: tuple[Response, ...], gradients: Gradients) -> tuple[Response, ...]:
    """Return the responses of as many tissues as there are shells, b=0 counted: white matter, then CSF, then grey.

    More than that have no unique amounts (Jeurissen et al. 2014, section 2); what MRtrix's manual advises for one shell
    is white matter and CSF.
    """
    wanted = ("wm", "csf", "gm")[: len(gradients.shells)]
    return tuple(response for response in responses if response.tissue in wanted)


def _no_mrtrix() -> str | None:
    return None if mrtrix_installed() else "MRtrix3's dwi2fod is not on the PATH"


def _no_solver() -> str | None:
    return None if convex_solver_installed() else 'cvxpy is not installed (pip install "shd[rivals]")'


_DEGREES = {"": 8, "-12": 12}
"""Ending of the key → degree of the fODF."""


def _classical() -> dict[str, Method]:
    """Return the methods that are not trained."""
    methods = {}
    for suffix, degree in _DEGREES.items():
        methods[f"dipy-csd{suffix}"] = Method(f"CSD (DIPY, degree {degree})", _dipy_csd(degree), voxelwise=True)
        methods[f"mrtrix-csd{suffix}"] = Method(
            f"CSD (MRtrix3, degree {degree})", _mrtrix_csd(degree), voxelwise=True, missing=_no_mrtrix
        )
    for suffix, degree in _DEGREES.items():
        methods[f"dipy-msmt{suffix}"] = Method(
            f"MSMT-CSD (DIPY, degree {degree})", _dipy_msmt(degree), voxelwise=True, missing=_no_solver, minutes=2.0
        )
        methods[f"mrtrix-msmt{suffix}"] = Method(
            f"MSMT-CSD (MRtrix3, degree {degree})",
            _mrtrix_msmt(degree),
            voxelwise=True,
            missing=_no_mrtrix,
            minutes=0.3,
        )
    methods["rumba-sd"] = Method("RUMBA-SD (DIPY)", _rumba(variation=False), voxelwise=True, minutes=0.5)
    methods["rumba-tv"] = Method("RUMBA-TV (DIPY)", _rumba(variation=True), minutes=3.0)
    return methods


def _dipy_csd(degree: int) -> Run:
    return lambda scan, responses, _: constrained_deconvolution(scan, response=responses[0], degree=degree)


def _mrtrix_csd(degree: int) -> Run:
    return lambda scan, responses, _: single_shell_deconvolution(scan, responses[0], degree=degree)


def _dipy_msmt(degree: int) -> Run:
    return lambda scan, responses, _: dipy_multi_tissue_deconvolution(scan, responses, degree=degree)


def _mrtrix_msmt(degree: int) -> Run:
    return lambda scan, responses, _: multi_tissue_deconvolution(scan, responses, degree=degree)


def _rumba(variation: bool) -> Run:
    return lambda scan, responses, _: richardson_lucy(scan, responses, variation=variation)


def _network(name: str, weights: LossWeights | None) -> Run:
    return lambda scan, responses, budget: train_and_deconvolve(name, scan, responses, budget, weights=weights)


_REGULARISERS = {"": PUBLISHED, "-tv": PUBLISHED_TV}
"""Ending of the key → weights of the losses."""


def _trained() -> dict[str, Method]:
    """Return the networks with the published regularisers, each without total variation and with it, then `shd fit`."""
    titles = {"mlp": "MLP", "cnn": "CNN", "esd": "ESD", "rt-esd": "RT-ESD", "ponita": "PONITA", "shd": "SHD"}
    methods = {
        f"{network}{suffix}": Method(f"{title}{suffix.upper()}", _network(network, weights), trained=True, minutes=0.5)
        for network, title in titles.items()
        for suffix, weights in _REGULARISERS.items()
    }
    return methods | {OURS: Method("shd (ours)", _network("shd", None), trained=True, minutes=0.5)}


def _own() -> dict[str, Method]:
    """Return what needs no training on the scan: the estimate, and the packaged networks."""
    return {f"shd-{model}": applied(model) for model in (ESTIMATE, *PACKAGED)}


def applied(model: str) -> Method:
    """Return what `shd infer` does with a network: `ESTIMATE`, the name of a packaged one, or a path."""
    name = "shd, estimate alone" if model == ESTIMATE else f"shd infer, {Path(model).stem}"
    return Method(
        name, lambda scan, responses, _: answer(model, scan, responses), own=True, missing=lambda: missing_model(model)
    )


METHODS: dict[str, Method] = _classical() | _own() | _trained()
"""Every method, in the order of the tables."""


def chosen_methods(keys: Sequence[str]) -> tuple[dict[str, Method], dict[str, str]]:
    """Return the methods named that run here, and for each other the reason why not.

    Raises MethodError for a key that is none.
    """
    unknown = [key for key in keys if key not in METHODS]
    if unknown:
        raise MethodError(f"no method {', '.join(unknown)}; there are: {', '.join(METHODS)}")
    reasons = {key: METHODS[key].missing() for key in METHODS if key in keys}
    present = {key: METHODS[key] for key, reason in reasons.items() if reason is None}
    return present, {key: reason for key, reason in reasons.items() if reason is not None}


def network_of(key: str) -> tuple[str, LossWeights | None]:
    """Return the network of a trained method, and the weights of its regularisers, None for those of `shd fit`.

    Raises MethodError for a key of no trained method.
    """
    if key not in METHODS or not METHODS[key].trained:
        networks = ", ".join(name for name, method in METHODS.items() if method.trained)
        raise MethodError(f"{key} is not trained; there are: {networks}")
    if key == OURS:
        return "shd", None
    network = key.removesuffix("-tv")
    return network, _REGULARISERS[key.removeprefix(network)]
