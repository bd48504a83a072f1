"""The compiled sampling of a geometry: plain arrays in, plain arrays out, nothing else of shd.

Each voxel is the mean over points inside it. A point in a tube belongs to the fibre that keeps its place in the
cross-section: with the offset d from the centreline, curvature K and radius R(s), the fibre's direction there is
T(1 − K·d) + (R'/R)d.
"""

from typing import no_type_check

import numpy as np

from shd.just_in_time import compiled

__all__ = ["sample_block"]


@compiled
@no_type_check
def _in_region(x, y, z, region, regions):
    """Whether a point lies inside a region; see `Region`."""
    centres, inverse_axes, amplitudes, waves, wave_counts = regions[0], regions[1], regions[2], regions[3], regions[4]
    x = (x - centres[region, 0]) * inverse_axes[region, 0]
    y = (y - centres[region, 1]) * inverse_axes[region, 1]
    z = (z - centres[region, 2]) * inverse_axes[region, 2]
    radius, amplitude = np.sqrt(x * x + y * y + z * z), amplitudes[region]
    if radius <= 1.0 - amplitude:
        return True
    if radius > 1.0 + amplitude:
        return False
    total = 0.0
    for k in range(wave_counts[region]):
        wave = waves[region, k]
        total += np.sin((wave[0] * x + wave[1] * y + wave[2] * z) / radius + wave[3])
    return radius <= 1.0 + amplitude * total / wave_counts[region]


@compiled
@no_type_check
def _in_tube(x, y, z, first, last, points, tangents, curvatures, radii, slopes, lengths, hit):
    """Find the place on the curve nearest to a point of the tube; write the fibre's direction and s to `hit` (4)."""
    nearest = np.inf
    after = (
        (x - points[first, 0]) * tangents[first, 0]
        + (y - points[first, 1]) * tangents[first, 1]
        + (z - points[first, 2]) * tangents[first, 2]
    )
    for i in range(first, last + 1):
        before, j = after, i + 1
        after = (
            (x - points[j, 0]) * tangents[j, 0]
            + (y - points[j, 1]) * tangents[j, 1]
            + (z - points[j, 2]) * tangents[j, 2]
        )
        if before < 0.0 or after >= 0.0:
            continue
        t = before / (before - after)
        u = 1.0 - t
        dx = x - u * points[i, 0] - t * points[j, 0]
        dy = y - u * points[i, 1] - t * points[j, 1]
        dz = z - u * points[i, 2] - t * points[j, 2]
        square, radius = dx * dx + dy * dy + dz * dz, u * radii[i] + t * radii[j]
        if square > radius * radius or square >= nearest:
            continue
        nearest = square
        slope = (u * slopes[i] + t * slopes[j]) / radius
        bend = (
            dx * (u * curvatures[i, 0] + t * curvatures[j, 0])
            + dy * (u * curvatures[i, 1] + t * curvatures[j, 1])
            + dz * (u * curvatures[i, 2] + t * curvatures[j, 2])
        )
        stretch = max(1.0 - bend, 0.05)  # beyond the centre of curvature fibres would turn back
        tx = u * tangents[i, 0] + t * tangents[j, 0]
        ty = u * tangents[i, 1] + t * tangents[j, 1]
        tz = u * tangents[i, 2] + t * tangents[j, 2]
        size = stretch / np.sqrt(tx * tx + ty * ty + tz * tz)
        tx, ty, tz = tx * size + slope * dx, ty * size + slope * dy, tz * size + slope * dz
        size = np.sqrt(tx * tx + ty * ty + tz * tz)
        hit[0], hit[1], hit[2] = tx / size, ty / size, tz / size
        hit[3] = u * lengths[i] + t * lengths[j]
    return nearest < np.inf


@compiled
@no_type_check
def _add_harmonics(weight, x, y, z, degree, up, back, diagonal, total):
    """Add weight · Y_lm(x, y, z) for even l to `total`, by the recurrences of the Legendre functions over l."""
    cosine, sine = weight, 0.0  # weight · sin^m(polar) · cos and sin of m·azimuth
    for m in range(degree + 1):
        older, newer = 0.0, diagonal[m]
        for l in range(m, degree + 1):
            if l > m:
                older, newer = newer, up[l, m] * (z * newer - back[l, m] * older)
            if l % 2 == 0:
                centre = l * (l + 1) // 2
                total[centre + m] += newer * cosine
                if m > 0:
                    total[centre - m] += newer * sine
        cosine, sine = cosine * x - sine * y, cosine * y + sine * x


@compiled
@no_type_check
def _write_fibres(weights, sums, numbers, count, fractions, directions, bundles):
    """Write the bundles present, largest first; of equals the lower number."""
    for place in range(count):
        best = -1
        for k in range(count):
            if weights[k] > 0.0 and (best < 0 or weights[k] > weights[best]):
                best = k
        if best < 0:
            return
        fractions[place], bundles[place] = weights[best], numbers[best]
        size = np.sqrt(sums[best, 0] ** 2 + sums[best, 1] ** 2 + sums[best, 2] ** 2)
        for k in range(3):
            directions[place, k] = sums[best, k] / size
        weights[best] = 0.0


@compiled
@no_type_check
def _label(starting, ending, zones, numbers, count):
    """Return the label of the bundle end of which most is in a voxel: 2·bundle + 1 or 2·bundle + 2, or 0."""
    label, most = 0, 0.0
    for k in range(count):
        zone = zones[numbers[k]]
        if starting[k] * zone[2] > most:
            label, most = 2 * numbers[k] + 1, starting[k] * zone[2]
        if ending[k] * zone[3] > most:
            label, most = 2 * numbers[k] + 2, ending[k] * zone[3]
    return label


@compiled
@no_type_check
def _measure(moments, tissue, response, isotropic, signal, row):
    """Write Σ moments·response + Σ tissue·isotropic to `row`; by hand, so that it is the same on any machine's BLAS."""
    signal[:] = 0.0
    for group in range(len(moments)):
        if moments[group, 0] > 0.0:
            for coefficient in range(moments.shape[1]):
                weight = moments[group, coefficient]
                for volume in range(len(signal)):
                    signal[volume] += weight * response[group, coefficient, volume]
    for kind in range(2):
        if tissue[1 + kind] > 0.0:
            for volume in range(len(signal)):
                signal[volume] += tissue[1 + kind] * isotropic[kind, volume]
    for volume in range(len(signal)):
        row[volume] = max(signal[volume], 0.0)


@compiled
@no_type_check
def _isotropic(x, y, z, amount, over, regions, tissue):
    """Give `amount` to the regions at a point that lie over (or under) bundles; return what is left."""
    kinds, shares, above = regions[5], regions[6], regions[7]
    for region in range(len(kinds)):
        if above[region] == over and amount > 0.0 and _in_region(x, y, z, 2 + region, regions):
            taken = amount * shares[region]
            tissue[1 + kinds[region]] += taken
            amount -= taken
    return amount


@compiled
@no_type_check
def _find_fibres(x, y, z, begin, count, candidates, curves, hits, found):
    """Write direction and s of every fibre through a point to `hits`, its candidate to `found`; return how many."""
    inside = 0
    for e in range(count):
        if _in_tube(
            x, y, z, candidates[2][begin + e], candidates[3][begin + e],
            curves[0], curves[1], curves[2], curves[3], curves[4], curves[5], hits[inside],
        ):  # fmt: skip
            found[inside] = e
            inside += 1
    return inside


@compiled
@no_type_check
def _add_fibre(amount, hit, e, zone, weights, sums, starting, ending):
    """Add a fibre through a point to its bundle's sums in this voxel; opposite directions are one axis."""
    weights[e] += amount
    turned = -amount if sums[e, 0] * hit[0] + sums[e, 1] * hit[1] + sums[e, 2] * hit[2] < 0.0 else amount
    for axis in range(3):
        sums[e, axis] += turned * hit[axis]
    starting[e] += amount * (hit[3] <= zone[0])
    ending[e] += amount * (hit[3] >= zone[1])


@compiled
@no_type_check
def _point(voxel, offset, shape, affine):
    """Return a point of a voxel in scanner mm."""
    rest = voxel // shape[2]
    u, v, w = rest // shape[1] + offset[0], rest % shape[1] + offset[1], voxel % shape[2] + offset[2]
    x = affine[0, 0] * u + affine[0, 1] * v + affine[0, 2] * w + affine[0, 3]
    y = affine[1, 0] * u + affine[1, 1] * v + affine[1, 2] * w + affine[1, 3]
    z = affine[2, 0] * u + affine[2, 1] * v + affine[2, 2] * w + affine[2, 3]
    return x, y, z


@compiled
@no_type_check
def sample_block(
    start, stop,  # voxels of this block, C order
    shape, affine, offsets,  # of the grid; points of a voxel relative to its centre, in voxels
    candidates,  # starts, bundles, first, last of `list_candidates`
    curves,  # points, tangents, curvatures, radii, slopes, lengths of all centrelines, one after another
    groups, zones,  # of each bundle: which diffusivities; up to which s it starts, from which it ends, and 1/area there
    regions,  # centres, inverse axes, amplitudes, waves, wave counts (outline, white surface, regions); of the regions:
    bounded, fill,  # tissue, fraction, over bundles. Whether there are outline and white surface; the rest's tissue
    recurrence, response, isotropic,  # of the harmonics; (group, coeff, volume); (gm csf, volume)
    noise_free, fods, tissues, fractions, directions, bundles, endpoints,  # of the block's voxels, zeros: filled
):  # fmt: skip
    """Sample the voxels from `start` to before `stop`."""
    most, degree = fractions.shape[1], recurrence[0].shape[0] - 1
    weights, sums, starting, ending = np.empty(most), np.empty((most, 3)), np.empty(most), np.empty(most)
    hits, found = np.empty((most, 4)), np.empty(most, np.int64)
    moments, signal = np.empty((response.shape[0], response.shape[1])), np.empty(response.shape[2])
    for voxel in range(start, stop):
        row, begin = voxel - start, candidates[0][voxel]
        count, tissue = candidates[0][voxel + 1] - begin, tissues[row]
        numbers = candidates[1][begin : begin + count]
        weights[:], sums[:], starting[:], ending[:], moments[:] = 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(len(offsets)):
            x, y, z = _point(voxel, offsets[k], shape, affine)
            if bounded[0] and not _in_region(x, y, z, 0, regions):
                continue
            left, inside = _isotropic(x, y, z, 1.0 / len(offsets), True, regions, tissue), 0
            if count > 0 and left > 0.0 and (not bounded[1] or _in_region(x, y, z, 1, regions)):
                inside = _find_fibres(x, y, z, begin, count, candidates, curves, hits, found)
            if inside == 0:
                left = _isotropic(x, y, z, left, False, regions, tissue)
                tissue[1 + fill] += left
                continue
            tissue[0] += left
            for h in range(inside):
                hit, bundle = hits[h], numbers[found[h]]
                _add_fibre(left / inside, hit, found[h], zones[bundle], weights, sums, starting, ending)
                _add_harmonics(
                    left / inside, hit[0], hit[1], hit[2], degree, recurrence[0], recurrence[1], recurrence[2],
                    moments[groups[bundle]],
                )  # fmt: skip
        for group in range(len(moments)):
            for coefficient in range(fods.shape[1]):
                fods[row, coefficient] += moments[group, coefficient]
        endpoints[row] = _label(starting, ending, zones, numbers, count)
        _measure(moments, tissue, response, isotropic, signal, noise_free[row])
        _write_fibres(weights, sums, numbers, count, fractions[row], directions[row], bundles[row])
