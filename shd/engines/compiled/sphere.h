// The sphere's transform, from vertices to the eigenbasis of the Laplacian and back, in symmetry blocks.
//
// Arrays are (vertex, column), a column being one channel of one voxel; what is done to columns is independent, so
// work goes on in slabs that stay in the second-level cache.
#pragma once
#include <algorithm>
#include <cstdlib>

#include "vectors.h"

namespace shd {

// Laid out by plan.py. Orbits: `members` vertices each, a members × members matrix to their adapted coordinates.
// Blocks: coordinates `block_in[b]…` to eigenvectors `block_out[b]…`; matrices packed for either direction in panels of
// WIDE_ROWS rows.
template <class T>
struct Plan {
    int64_t vertices, eigenvectors, orbits, blocks;
    const int64_t *orbit_start, *orbit_vertex, *orbit_coordinate, *orbit_matrix_start;
    const T* orbit_matrix;
    const int64_t *block_in, *block_out, *analysis_start, *synthesis_start;
    const T *analysis, *synthesis;
};

// c[i][:] = Σ_k a[k][i]·b[k][:] for a panel of WIDE_ROWS rows, `valid` of which are kept.
template <class T>
inline void panel(const T* a, const T* b, int64_t depth, T* c, int64_t stride, int64_t valid) {
    using S = Simd<T>;
    constexpr int L = S::lanes, W = WIDE * L;
    typename S::type sum[WIDE_ROWS][WIDE] = {};
    for (int64_t k = 0; k < depth; ++k) {
        typename S::type row[WIDE];
#pragma GCC unroll 4
        for (int v = 0; v < WIDE; ++v) row[v] = S::load(b + k * W + v * L);
#pragma GCC unroll 6
        for (int i = 0; i < WIDE_ROWS; ++i) {
            const typename S::type factor = S::fill(a[k * WIDE_ROWS + i]);
#pragma GCC unroll 4
            for (int v = 0; v < WIDE; ++v) sum[i][v] += factor * row[v];
        }
    }
    for (int64_t i = 0; i < valid; ++i)
        for (int v = 0; v < WIDE; ++v) S::store(c + i * stride + v * L, sum[i][v]);
}

// The adapted coordinates of one orbit (forward), or its vertices (backward), for one vector of columns.
template <class T, int SIZE, bool FORWARD>
inline void turn(const T* matrix, const typename Simd<T>::type (&value)[8], typename Simd<T>::type (&sum)[8]) {
    using S = Simd<T>;
#pragma GCC unroll 8
    for (int j = 0; j < SIZE; ++j) {
        sum[j] = value[0] * S::fill(matrix[FORWARD ? j * SIZE : j]);
#pragma GCC unroll 8
        for (int i = 1; i < SIZE; ++i) sum[j] += value[i] * S::fill(matrix[FORWARD ? j * SIZE + i : i * SIZE + j]);
    }
}

template <class T, bool FORWARD>
inline void turn_orbit(int64_t size, const T* matrix, const typename Simd<T>::type (&value)[8],
                       typename Simd<T>::type (&sum)[8]) {
    switch (size) {  // the orders of the subgroups of the square's group
        case 8: return turn<T, 8, FORWARD>(matrix, value, sum);
        case 4: return turn<T, 4, FORWARD>(matrix, value, sum);
        case 2: return turn<T, 2, FORWARD>(matrix, value, sum);
        default: return turn<T, 1, FORWARD>(matrix, value, sum);
    }
}

template <class T>
struct Slab {
    static constexpr int64_t width = WIDE * Simd<T>::lanes;
};

// What turns the analysis into the gradient of y = max(scale·(U z) + shift, 0): x, there ∂/∂y, counts only where y is
// positive; the result is scaled, and ∂/∂scale and ∂/∂shift are summed up by column.
template <class T>
struct Gate {
    const T *y, *z, *scale;
    T *scale_gradient, *shift_gradient;
};

// out = Uᵀ x for one slab of columns; both with `columns` elements a row.
template <class T>
void analyse_slab(const Plan<T>& plan, const T* x, T* out, int64_t columns, int64_t first, const Gate<T>* gate) {
    using S = Simd<T>;
    constexpr int L = S::lanes;
    constexpr int64_t W = Slab<T>::width;
    const int64_t valid = std::min(W, columns - first);
    T* adapted = scratch<T, 0>((plan.vertices + 8) * W);
    T rows[8 * W];
    typename S::type shift[WIDE] = {}, scale[WIDE] = {}, factor[WIDE] = {};
    for (int v = 0; gate && v < WIDE; ++v) factor[v] = load_partial<S>(gate->scale + first + v * L, valid - v * L);
    for (int64_t o = 0; o < plan.orbits; ++o) {
        const int64_t start = plan.orbit_start[o], size = plan.orbit_start[o + 1] - start;
        const T* matrix = plan.orbit_matrix + plan.orbit_matrix_start[o];
        const T* source[8];
        for (int64_t i = 0; i < size; ++i) {
            source[i] = x + plan.orbit_vertex[start + i] * columns + first;
            if (valid < W) {
                std::memset(rows + i * W, 0, W * sizeof(T));
                std::memcpy(rows + i * W, source[i], valid * sizeof(T));
                source[i] = rows + i * W;
            }
        }
        for (int v = 0; v < WIDE; ++v) {
            typename S::type value[8], sum[8];
            for (int64_t i = 0; i < size; ++i) value[i] = S::load(source[i] + v * L);
            if (gate)
                for (int64_t i = 0; i < size; ++i) {
                    const typename S::type y = load_partial<S>(gate->y + plan.orbit_vertex[start + i] * columns + first + v * L, valid - v * L);
                    value[i] = y > S::fill(0) ? value[i] : S::fill(0);
                    shift[v] += value[i];
                }
            turn_orbit<T, true>(size, matrix, value, sum);
            for (int64_t j = 0; j < size; ++j)
                S::store(adapted + plan.orbit_coordinate[start + j] * W + v * L, sum[j]);
        }
    }
    T tile[WIDE_ROWS * W];
    for (int64_t b = 0; b < plan.blocks; ++b) {
        const int64_t depth = plan.block_in[b + 1] - plan.block_in[b];
        const int64_t count = plan.block_out[b + 1] - plan.block_out[b];
        const T* matrix = plan.analysis + plan.analysis_start[b];
        for (int64_t i = 0; i < count; i += WIDE_ROWS) {
            const int64_t kept = std::min<int64_t>(WIDE_ROWS, count - i);
            for (int64_t r = 0; r < kept; ++r) {  // this panel's place to write, and rows of the next slab
                prefetch_to_write(out + (plan.block_out[b] + i + r) * columns + first, valid);
                if (plan.block_out[b] + i + r < plan.vertices && first + 2 * W <= columns)
                    prefetch(x + (plan.block_out[b] + i + r) * columns + first + W, W);
            }
            T* target = out + (plan.block_out[b] + i) * columns + first;
            if (gate) {
                panel(matrix + i * depth, adapted + plan.block_in[b] * W, depth, tile, W, kept);
                const T* z = gate->z + (plan.block_out[b] + i) * columns + first;
                for (int64_t r = 0; r < kept; ++r)
                    for (int v = 0; v < WIDE; ++v) {
                        const typename S::type g = S::load(tile + r * W + v * L);
                        const typename S::type output = load_partial<S>(z + r * columns + v * L, valid - v * L);
                        scale[v] += g * output;
                        store_partial<S>(target + r * columns + v * L, g * factor[v], valid - v * L);
                    }
            } else if (valid == W) {
                panel(matrix + i * depth, adapted + plan.block_in[b] * W, depth, target, columns, kept);
            } else {
                panel(matrix + i * depth, adapted + plan.block_in[b] * W, depth, tile, W, kept);
                for (int64_t r = 0; r < kept; ++r)
                    std::memcpy(target + r * columns, tile + r * W, valid * sizeof(T));
            }
        }
    }
    for (int v = 0; gate && v < WIDE; ++v) {
        store_partial<S>(gate->scale_gradient + first + v * L, scale[v], valid - v * L);
        store_partial<S>(gate->shift_gradient + first + v * L, shift[v], valid - v * L);
    }
}

// y = scale·(U z) + shift for one slab, cut off below zero where `rectify`; scale and shift have one number a column
// (null: 1 and 0).
template <class T>
void synthesise_slab(const Plan<T>& plan, const T* z, T* out, int64_t columns, int64_t first, const T* scale,
                     const T* shift, bool rectify) {
    using S = Simd<T>;
    constexpr int L = S::lanes;
    constexpr int64_t W = Slab<T>::width;
    const int64_t valid = std::min(W, columns - first);
    T* spectrum = scratch<T, 1>((plan.eigenvectors + 8) * W);
    T* adapted = scratch<T, 2>((plan.vertices + 8) * W);
    for (int64_t e = 0; e < plan.eigenvectors; ++e)
        std::memcpy(spectrum + e * W, z + e * columns + first, valid * sizeof(T));
    for (int64_t b = 0; b < plan.blocks; ++b) {
        const int64_t count = plan.block_in[b + 1] - plan.block_in[b];
        const int64_t depth = plan.block_out[b + 1] - plan.block_out[b];
        const T* matrix = plan.synthesis + plan.synthesis_start[b];
        for (int64_t i = 0; i < count; i += WIDE_ROWS) {
            for (int64_t r = plan.block_in[b] + i; r < std::min(plan.block_in[b + 1], plan.block_in[b] + i + WIDE_ROWS); ++r) {
                prefetch_to_write(out + r * columns + first, valid);
                if (r < plan.eigenvectors && first + 2 * W <= columns) prefetch(z + r * columns + first + W, W);
            }
            panel(matrix + i * depth, spectrum + plan.block_out[b] * W, depth, adapted + (plan.block_in[b] + i) * W, W,
                  std::min<int64_t>(WIDE_ROWS, count - i));
        }
    }
    typename S::type factor[WIDE], offset[WIDE];
    for (int v = 0; v < WIDE; ++v) {
        factor[v] = S::fill(1);
        offset[v] = S::fill(0);
        if (scale) factor[v] = load_partial<S>(scale + first + v * L, valid - v * L);
        if (scale) offset[v] = load_partial<S>(shift + first + v * L, valid - v * L);
    }
    for (int64_t o = 0; o < plan.orbits; ++o) {
        const int64_t start = plan.orbit_start[o], size = plan.orbit_start[o + 1] - start;
        const T* matrix = plan.orbit_matrix + plan.orbit_matrix_start[o];
        for (int v = 0; v < WIDE; ++v) {
            typename S::type value[8], turned[8];
            for (int64_t j = 0; j < size; ++j)
                value[j] = S::load(adapted + plan.orbit_coordinate[start + j] * W + v * L);
            turn_orbit<T, false>(size, matrix, value, turned);
            for (int64_t i = 0; i < size; ++i) {
                typename S::type sum = turned[i] * factor[v] + offset[v];
                if (rectify) sum = sum < S::fill(0) ? S::fill(0) : sum;  // NaN stays NaN
                store_partial<S>(out + plan.orbit_vertex[start + i] * columns + first + v * L, sum, valid - v * L);
            }
        }
    }
}

}  // namespace shd
