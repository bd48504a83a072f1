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

// A slab of columns of an array (row, column): `data` points at its first column.
template <class T>
struct Slab {
    static constexpr int64_t width = WIDE * Simd<T>::lanes;
    T* data;
    int64_t stride, valid;  // elements from row to row; columns that exist
    T* row(int64_t i) const { return data + i * stride; }
    // Ask for row i of the slab `ahead` columns further on.
    void expect(int64_t i, int64_t ahead) const { prefetch(row(i) + ahead, width); }
    void expect_to_write(int64_t i) const { prefetch_to_write(row(i), valid); }
};

// A slab of a thread's own, all of whose columns exist.
template <class T, int PURPOSE>
Slab<T> own_slab(int64_t rows) {
    constexpr int64_t W = Slab<T>::width;
    return {scratch<T, PURPOSE>((rows + 8) * W), W, W};
}

// out = diag(blocks)·Qᵀ x.
template <class T>
void analyse_slab(const Plan<T>& plan, Slab<T> x, Slab<T> out) {
    using S = Simd<T>;
    constexpr int L = S::lanes;
    constexpr int64_t W = Slab<T>::width;
    const Slab<T> adapted = own_slab<T, 0>(plan.vertices);
    for (int64_t o = 0; o < plan.orbits; ++o) {
        const int64_t start = plan.orbit_start[o], size = plan.orbit_start[o + 1] - start;
        const T* matrix = plan.orbit_matrix + plan.orbit_matrix_start[o];
        for (int v = 0; v < WIDE; ++v) {
            typename S::type value[8], sum[8];
            for (int64_t i = 0; i < size; ++i)
                value[i] = load_partial<S>(x.row(plan.orbit_vertex[start + i]) + v * L, x.valid - v * L);
            turn_orbit<T, true>(size, matrix, value, sum);
            for (int64_t j = 0; j < size; ++j) S::store(adapted.row(plan.orbit_coordinate[start + j]) + v * L, sum[j]);
        }
    }
    T tile[WIDE_ROWS * W];
    for (int64_t b = 0; b < plan.blocks; ++b) {
        const int64_t depth = plan.block_in[b + 1] - plan.block_in[b];
        const T* matrix = plan.analysis + plan.analysis_start[b];
        for (int64_t row = plan.block_out[b], i = 0; row < plan.block_out[b + 1]; row += WIDE_ROWS, i += WIDE_ROWS) {
            const int64_t kept = std::min<int64_t>(WIDE_ROWS, plan.block_out[b + 1] - row);
            for (int64_t r = row; r < row + kept; ++r) {
                out.expect_to_write(r);
                if (x.stride > 2 * W && r < plan.vertices) x.expect(r, W);
            }
            if (out.valid == W) {
                panel(matrix + i * depth, adapted.row(plan.block_in[b]), depth, out.row(row), out.stride, kept);
            } else {
                panel(matrix + i * depth, adapted.row(plan.block_in[b]), depth, tile, W, kept);
                for (int64_t r = 0; r < kept; ++r)
                    std::memcpy(out.row(row + r), tile + r * W, out.valid * sizeof(T));
            }
        }
    }
}

// One number a column of the slab for each of its vectors.
template <class T>
struct Columns {
    typename Simd<T>::type vector[WIDE];
    static Columns filled(T value) {
        Columns columns;
        for (auto& v : columns.vector) v = Simd<T>::fill(value);
        return columns;
    }
    static Columns read(const T* p, int64_t valid) {
        Columns columns;
        for (int v = 0; v < WIDE; ++v)
            columns.vector[v] = load_partial<Simd<T>>(p + v * Simd<T>::lanes, valid - v * Simd<T>::lanes);
        return columns;
    }
    void write(T* p, int64_t valid) const {
        for (int v = 0; v < WIDE; ++v)
            store_partial<Simd<T>>(p + v * Simd<T>::lanes, vector[v], valid - v * Simd<T>::lanes);
    }
};

// y = scale·(Q·diag(blocks)ᵀ z) + shift, cut off below zero where `rectify`.
template <class T>
void synthesise_slab(const Plan<T>& plan, Slab<T> z, Slab<T> out, const Columns<T>& scale, const Columns<T>& shift,
                     bool rectify) {
    using S = Simd<T>;
    constexpr int L = S::lanes;
    constexpr int64_t W = Slab<T>::width;
    const Slab<T> spectrum = own_slab<T, 1>(plan.eigenvectors), adapted = own_slab<T, 2>(plan.vertices);
    for (int64_t e = 0; e < plan.eigenvectors; ++e) std::memcpy(spectrum.row(e), z.row(e), z.valid * sizeof(T));
    for (int64_t b = 0; b < plan.blocks; ++b) {
        const int64_t depth = plan.block_out[b + 1] - plan.block_out[b];
        const T* matrix = plan.synthesis + plan.synthesis_start[b];
        for (int64_t row = plan.block_in[b], i = 0; row < plan.block_in[b + 1]; row += WIDE_ROWS, i += WIDE_ROWS) {
            const int64_t kept = std::min<int64_t>(WIDE_ROWS, plan.block_in[b + 1] - row);
            for (int64_t r = row; r < row + kept; ++r) {
                if (out.stride > 2 * W) out.expect_to_write(r);
                if (r < plan.eigenvectors) z.expect(r, W);
            }
            panel(matrix + i * depth, spectrum.row(plan.block_out[b]), depth, adapted.row(row), W, kept);
        }
    }
    for (int64_t o = 0; o < plan.orbits; ++o) {
        const int64_t start = plan.orbit_start[o], size = plan.orbit_start[o + 1] - start;
        const T* matrix = plan.orbit_matrix + plan.orbit_matrix_start[o];
        for (int v = 0; v < WIDE; ++v) {
            typename S::type value[8], turned[8];
            for (int64_t j = 0; j < size; ++j)
                value[j] = S::load(adapted.row(plan.orbit_coordinate[start + j]) + v * L);
            turn_orbit<T, false>(size, matrix, value, turned);
            for (int64_t i = 0; i < size; ++i) {
                typename S::type sum = turned[i] * scale.vector[v] + shift.vector[v];
                if (rectify) sum = sum < S::fill(0) ? S::fill(0) : sum;  // NaN stays NaN
                store_partial<S>(out.row(plan.orbit_vertex[start + i]) + v * L, sum, out.valid - v * L);
            }
        }
    }
}

// A network's activations max(scale·field + shift, 0) of fields given by coefficients, one scale and shift a column.
template <class T>
struct Activation {
    const T *scale, *shift;
    T *scale_gradient, *shift_gradient;  // what the backward pass fills
};

// Coefficients of the activations: back to the vertices, cut off, and again to coefficients. `out` may be `z`.
template <class T>
void turn_slab(const Plan<T>& plan, const Activation<T>& activation, Slab<T> z, Slab<T> out, int64_t first) {
    const Slab<T> field = own_slab<T, 12>(plan.vertices);
    synthesise_slab(plan, z, field, Columns<T>::read(activation.scale + first, z.valid),
                    Columns<T>::read(activation.shift + first, z.valid), true);
    analyse_slab(plan, field, out);
}

// The gradient of the activations with respect to z, scale and shift. `given`: ∂/∂activations on the vertices; the field
// is made anew from z, which costs less than keeping it.
template <class T>
void activation_gradient_slab(const Plan<T>& plan, const Activation<T>& activation, Slab<T> z, Slab<T> given, Slab<T> out,
                              int64_t first) {
    using S = Simd<T>;
    const Slab<T> field = own_slab<T, 12>(plan.vertices), gated = own_slab<T, 13>(plan.vertices);
    synthesise_slab(plan, z, field, Columns<T>::filled(1), Columns<T>::filled(0), false);
    const Columns<T> scale = Columns<T>::read(activation.scale + first, z.valid),
                     shift = Columns<T>::read(activation.shift + first, z.valid);
    Columns<T> by_scale = Columns<T>::filled(0), by_shift = Columns<T>::filled(0);
    for (int64_t i = 0; i < plan.vertices; ++i)
        for (int v = 0; v < WIDE; ++v) {
            const typename S::type value = S::load(field.row(i) + v * S::lanes);
            typename S::type gradient = load_partial<S>(given.row(i) + v * S::lanes, given.valid - v * S::lanes);
            gradient = value * scale.vector[v] + shift.vector[v] > S::fill(0) ? gradient : S::fill(0);
            by_shift.vector[v] += gradient;
            by_scale.vector[v] += gradient * value;
            S::store(gated.row(i) + v * S::lanes, gradient * scale.vector[v]);
        }
    analyse_slab(plan, gated, out);
    by_scale.write(activation.scale_gradient + first, z.valid);
    by_shift.write(activation.shift_gradient + first, z.valid);
}

// The same where ∂/∂activations is given by its gradient with respect to their coefficients.
template <class T>
void turn_gradient_slab(const Plan<T>& plan, const Activation<T>& activation, Slab<T> z, Slab<T> given, Slab<T> out,
                        int64_t first) {
    const Slab<T> on_vertices = own_slab<T, 14>(plan.vertices);
    synthesise_slab(plan, given, on_vertices, Columns<T>::filled(1), Columns<T>::filled(0), false);
    activation_gradient_slab(plan, activation, z, on_vertices, out, first);
}

}  // namespace shd
