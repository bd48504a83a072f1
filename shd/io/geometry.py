"""Geometry files: JSON in the layout of Phantomas, the generator of the ISBI 2013 challenge, with keys of our own.

The format, key by key: docs/simulation.md.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError, number_of
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.simulation.tissues import WHITE_MATTER, Fibre

__all__ = ["geometry_content", "geometry_of", "read_geometry"]

_TOP = ("fiber_geometries", "isotropic_regions", "phantom_radius", "extent", "fill", "outline", "white_surface")
_BUNDLE = ("control_points", "radius", "radii", "tangents", "ends", "stick_fraction", "parallel", "perpendicular")
_REGION = ("radius", "semi_axes", "center", "volume_fraction", "tissue", "over_bundles", "amplitude", "waves")
_MARGIN = 1.1  # the field of view of a file that states none, in diameters of the phantom, as in Phantomas


def read_geometry(path: str | Path) -> Geometry:
    """Return the geometry of a JSON file, named after the file.

    Raises SimulationError, naming the file, where it cannot be read, a key is unknown or missing or has a value of the
    wrong kind, or the geometry cannot be.
    """
    file = Path(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SimulationError(f"{file}: no such file; check the path of the geometry") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SimulationError(f"{file}: cannot be read ({error}); check the file") from None
    except ValueError as error:
        raise SimulationError(f"{file}: not valid JSON ({error}); correct it there") from None
    try:
        return geometry_of(content, file.stem)
    except SimulationError as error:
        raise SimulationError(f"{file}: {error}") from None


def geometry_of(content: Any, name: str) -> Geometry:
    """Return the geometry that the parsed JSON describes. Raises SimulationError as `read_geometry` does."""
    table = _known(content, _TOP, "the file")
    bundles = tuple(
        _bundle(key, _known(value, _BUNDLE, f"bundle {key}"))
        for key, value in _mapping(table.get("fiber_geometries", {}), "fiber_geometries").items()
        if key != "comment"
    )
    regions = tuple(
        _region(key, _known(value, _REGION, f"region {key}"))
        for key, value in _mapping(table.get("isotropic_regions", {}), "isotropic_regions").items()
        if key != "comment"
    )
    if not bundles:
        raise SimulationError("fiber_geometries holds 0 bundles; describe at least 1")
    if "outline" in table:
        outline = _boundary("outline", table)
    else:
        given = "phantom_radius" in table
        radius = _number(table, "phantom_radius", "the file") if given else _common_radius(bundles)
        outline = None if radius is None else Region.ball("outline", np.zeros(3), radius)
    if "extent" in table:
        extent = _numbers(table, "extent", "the file", 3)
    elif outline is not None:
        extent = 2 * _MARGIN * (np.abs(outline.centre) + outline.semi_axes * (1 + outline.amplitude))
    else:
        reach = [np.abs(bundle.control_points).max(axis=0) + bundle.radii.max() for bundle in bundles]
        extent = 2 * np.max(reach, axis=0)
    return Geometry(
        name, bundles, extent, regions, outline, _boundary("white_surface", table), str(table.get("fill", "gm"))
    )


def geometry_content(geometry: Geometry) -> dict[str, Any]:
    """Return the JSON content from which `geometry_of` makes the same geometry again, every key written out."""
    content: dict[str, Any] = {
        "fiber_geometries": {
            bundle.name: {
                "control_points": bundle.control_points.ravel().tolist(),
                "radii": bundle.radii.tolist(),
                "tangents": bundle.tangents,
                "ends": bundle.ends,
                "stick_fraction": bundle.fibre.stick_fraction,
                "parallel": bundle.fibre.parallel,
                "perpendicular": bundle.fibre.perpendicular,
            }
            for bundle in geometry.bundles
        },
        "isotropic_regions": {region.name: _region_content(region) for region in geometry.regions},
        "extent": geometry.extent.tolist(),
        "fill": geometry.fill,
        "outline": None,
    }
    for key, boundary in (("outline", geometry.outline), ("white_surface", geometry.white_surface)):
        if boundary is not None:
            content[key] = _region_content(boundary)
    return content


def _region_content(region: Region) -> dict[str, Any]:
    return {
        "center": region.centre.tolist(),
        "semi_axes": region.semi_axes.tolist(),
        "tissue": region.tissue,
        "volume_fraction": region.volume_fraction,
        "over_bundles": region.over_bundles,
        "amplitude": region.amplitude,
        "waves": region.waves.ravel().tolist(),
    }


def _boundary(key: str, table: Mapping[str, Any]) -> Region | None:
    value = table.get(key)
    return None if value is None else _region(key, _known(value, _REGION, key))


def _bundle(name: str, table: Mapping[str, Any]) -> Bundle:
    """Return one bundle. Phantomas lists control points as one row of numbers; lists of three are read too."""
    where = f"bundle {name}"
    points = _numbers(table, "control_points", where, None)
    if points.size % 3 or not points.size:
        raise SimulationError(f"{where}: {number_of(points.size, 'number')} in control_points; points have 3 each")
    points = points.reshape(-1, 3)
    if ("radius" in table) == ("radii" in table):
        raise SimulationError(f"{where}: give either radius, one number, or radii, one for each control point")
    radii = (
        _numbers(table, "radii", where, None).ravel()
        if "radii" in table
        else np.full(len(points), _number(table, "radius", where))
    )
    try:
        fibre = Fibre(
            *(
                _number(table, key, where, default)
                for key, default in (
                    ("stick_fraction", WHITE_MATTER.stick_fraction),
                    ("parallel", WHITE_MATTER.parallel),
                    ("perpendicular", WHITE_MATTER.perpendicular),
                )
            )
        )
    except SimulationError as error:
        raise SimulationError(f"{where}: {error}") from None
    tangents, ends = str(table.get("tangents", "symmetric")), str(table.get("ends", "radial"))
    return Bundle(name, points, radii, tangents, ends, fibre)


def _region(name: str, table: Mapping[str, Any]) -> Region:
    where = f"region {name}"
    if ("radius" in table) == ("semi_axes" in table):
        raise SimulationError(f"{where}: give either radius, one number, or semi_axes, three")
    axes = (
        _numbers(table, "semi_axes", where, 3) if "semi_axes" in table else np.full(3, _number(table, "radius", where))
    )
    over = table.get("over_bundles", True)
    if not isinstance(over, bool):
        raise SimulationError(f"{where}: over_bundles {over!r}; give true or false")
    waves = _numbers(table, "waves", where, None) if "waves" in table else np.zeros(0)
    if waves.size % 4:
        raise SimulationError(f"{where}: {number_of(waves.size, 'number')} in waves; each has 4 (k_x, k_y, k_z, phase)")
    return Region(
        name,
        _numbers(table, "center", where, 3),
        axes,
        str(table.get("tissue", "csf")),
        _number(table, "volume_fraction", where, 1.0),
        over,
        _number(table, "amplitude", where, 0.0),
        waves.reshape(-1, 4),
    )


def _common_radius(bundles: tuple[Bundle, ...]) -> float | None:
    """Return the distance of the bundles' ends from the origin where it is one (to 2 %), as in Phantomas, or None."""
    if any(bundle.ends != "radial" for bundle in bundles):
        return None
    ends = np.linalg.norm([bundle.control_points[k] for bundle in bundles for k in (0, -1)], axis=1)
    return float(ends.max()) if ends.max() <= 1.02 * ends.min() else None


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SimulationError(f"{where}: {type(value).__name__} where names and values in braces are needed")
    return value


def _known(value: Any, keys: tuple[str, ...], where: str) -> Mapping[str, Any]:
    """Return the object, having made sure that all its keys are known; comments are allowed everywhere."""
    table = _mapping(value, where)
    unknown = [key for key in table if key not in keys and key != "comment"]
    if unknown:
        raise SimulationError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(keys)} and comment")
    return table


def _number(table: Mapping[str, Any], key: str, where: str, default: float | None = None) -> float:
    if key not in table and default is not None:
        return default
    if key not in table:
        raise SimulationError(f"{where}: {key} is missing; give a number")
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SimulationError(f"{where}: {key} {value!r}; give a number")
    return float(value)


def _numbers(table: Mapping[str, Any], key: str, where: str, count: int | None) -> Float[np.ndarray, "..."]:
    if key not in table:
        raise SimulationError(f"{where}: {key} is missing; give a list of numbers")
    try:
        values = np.array(table[key], dtype=np.float64)
    except (TypeError, ValueError):
        raise SimulationError(f"{where}: {key} {str(table[key])[:60]}; give a list of numbers") from None
    if values.ndim == 0 or (count is not None and values.size != count):
        raise SimulationError(
            f"{where}: {number_of(values.size, 'number')} in {key}, which has {count or 'a list of them'}"
        )
    return values.ravel()
