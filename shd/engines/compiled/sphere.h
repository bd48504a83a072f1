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
// WIDE_ROWS rows, words of the numbers of as many columns as products take at a time. Every block's coordinates begin with
// a word: some coordinates are nobody's, and zero. The first block has the constant function, which is most of a network's
// activations: rounded numbers would spread its error over all others. It has a number a word.
template <class T>
struct Plan {
    typedef Word<T> F;
    int64_t vertices, eigenvectors, coordinates, orbits, blocks;
    const int64_t *orbit_start, *orbit_vertex, *orbit_coordinate, *orbit_matrix_start;
    const F* orbit_matrix;
    const int64_t *block_in, *block_out, *analysis_start, *synthesis_start;
    const F *analysis, *synthesis;

    int64_t together(int64_t block) const { return block ? Stored<T>::packed : 1; }
    // The word that has coordinate i.
    int64_t word(int64_t i) const {
        const int64_t whole = block_in[1];
        return i < whole ? i : whole + (i - whole) / Stored<T>::packed;
    }
};

// c[i][:] = Σ_k a[k][i]·b[k][:] for a panel of WIDE_ROWS rows, `valid` of which are kept; a and b in `depth` words of T.
template <class T, class OUT>
inline void panel(const Word<T>* a, const Word<T>* b, int64_t depth, OUT* c, int64_t stride, int64_t valid) {
    using S = Simd<Word<T>>;
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
            for (int v = 0; v < WIDE; ++v) sum[i][v] = add_product<T>(sum[i][v], factor, row[v]);
        }
    }
    for (int64_t i = 0; i < valid; ++i)
        for (int v = 0; v < WIDE; ++v) put<S>(c + i * stride + v * L, sum[i][v]);
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
    static constexpr int64_t width = WIDE * Simd<Word<T>>::lanes;
    T* data;
    int64_t stride, valid;  // elements from row to row; columns that exist
    T* row(int64_t i) const { return data + i * stride; }
    // Ask for row i of the slab `width` columns further on.
    void expect_next(int64_t i) const {
        if (stride > 2 * width) prefetch(row(i) + width, width);
    }
    void expect_to_write(int64_t i) const {
        if (stride > 2 * width) prefetch_to_write(row(i), valid);
    }
};

// A slab of a thread's own, all of whose columns exist.
template <class T, int PURPOSE>
Slab<T> own_slab(int64_t rows) {
    constexpr int64_t W = Slab<T>::width;
    return {scratch<T, PURPOSE>((rows + 8) * W), W, W};
}

// The orbits' part of the transforms, for one vector of columns.
template <class T>
struct OrbitOf {
    typedef Word<T> F;
    using S = Simd<F>;
    typedef typename S::type Vector;
    const Plan<T>& plan;
    const int64_t *vertex, *coordinate;
    const F* matrix;
    int64_t size;

    OrbitOf(const Plan<T>& plan, int64_t o)
        : plan(plan), vertex(plan.orbit_vertex + plan.orbit_start[o]),
          coordinate(plan.orbit_coordinate + plan.orbit_start[o]), matrix(plan.orbit_matrix + plan.orbit_matrix_start[o]),
          size(plan.orbit_start[o + 1] - plan.orbit_start[o]) {}

    // Vertices from their adapted coordinates.
    void from_adapted(const Slab<F>& adapted, int v, Vector (&found)[8]) const {
        Vector value[8];
        for (int64_t j = 0; j < size; ++j) value[j] = S::load(adapted.row(coordinate[j]) + v * S::lanes);
        turn_orbit<F, false>(size, matrix, value, found);
    }
    // Adapted coordinates, in words of T, from the vertices.
    void to_adapted(const Vector (&value)[8], const Slab<F>& packed, int v) const {
        Vector found[8];
        turn_orbit<F, true>(size, matrix, value, found);
        for (int64_t j = 0; j < size; ++j) {
            F* row = packed.row(plan.word(coordinate[j])) + v * S::lanes;
            if constexpr (Stored<T>::packed == 2) {
                if (coordinate[j] >= plan.block_in[1]) {
                    put_half(row, coordinate[j] % 2, found[j]);
                    continue;
                }
            }
            S::store(row, found[j]);
        }
    }
    template <class V>
    void read(const Slab<V>& x, int v, Vector (&value)[8]) const {
        for (int64_t i = 0; i < size; ++i)
            value[i] = load_partial<S>(x.row(vertex[i]) + v * S::lanes, x.valid - v * S::lanes);
    }
};

// Do `work(orbit, v)` for every orbit and each vector of a slab.
template <class T, class WORK>
inline void for_orbits(const Plan<T>& plan, WORK work) {
    for (int64_t o = 0; o < plan.orbits; ++o) {
        const OrbitOf<T> orbit(plan, o);
        for (int v = 0; v < WIDE; ++v) work(orbit, v);
    }
}

// Space for adapted coordinates in words of T; those that are nobody's are zero.
template <class T, int PURPOSE>
Slab<Word<T>> packed_slab(const Plan<T>& plan) {
    const Slab<Word<T>> packed = own_slab<Word<T>, PURPOSE>(plan.coordinates);
    if (Stored<T>::packed > 1)
        for (int64_t b = 0; b < plan.blocks; ++b)
            if (plan.block_in[b + 1] > plan.block_in[b])
                std::memset(packed.row(plan.word(plan.block_in[b + 1] - 1)), 0, packed.width * sizeof(Word<T>));
    return packed;
}

// Eigenvectors' coefficients from adapted coordinates. `ahead`: what will be read next, and is asked for meanwhile.
template <class T, class V>
void analyse_blocks(const Plan<T>& plan, const Slab<Word<T>>& packed, const Slab<T>& out, const Slab<V>& ahead) {
    constexpr int64_t W = Slab<T>::width;
    T tile[WIDE_ROWS * W];
    for (int64_t b = 0; b < plan.blocks; ++b) {
        const int64_t depth = (plan.block_in[b + 1] - plan.block_in[b]) / plan.together(b);
        const Word<T>* from = packed.row(plan.word(plan.block_in[b]));
        const Word<T>* matrix = plan.analysis + plan.analysis_start[b];
        for (int64_t row = plan.block_out[b], i = 0; row < plan.block_out[b + 1]; row += WIDE_ROWS, i += WIDE_ROWS) {
            const int64_t kept = std::min<int64_t>(WIDE_ROWS, plan.block_out[b + 1] - row);
            for (int64_t r = row; r < row + kept; ++r) {
                out.expect_to_write(r);
                if (r < plan.vertices) ahead.expect_next(r);
            }
            const auto multiply = [&](T* target, int64_t stride) {
                if (b) panel<T>(matrix + i * depth, from, depth, target, stride, kept);
                else panel<Word<T>>(matrix + i * depth, from, depth, target, stride, kept);
            };
            if (out.valid == W) {
                multiply(out.row(row), out.stride);
            } else {
                multiply(tile, W);
                for (int64_t r = 0; r < kept; ++r) std::memcpy(out.row(row + r), tile + r * W, out.valid * sizeof(T));
            }
        }
    }
}

// Coefficients of the eigenvectors `from` to `to` in words of T, zeros where columns do not exist; or one a word.
template <class T>
void pack_rows(const Slab<T>& z, int64_t from, int64_t to, int64_t together, const Slab<Word<T>>& packed) {
    using S = Simd<Word<T>>;
    constexpr int64_t L = S::lanes, W = Slab<T>::width;
    if (together == 1) {
        for (int64_t e = from; e < to; ++e)
            for (int64_t j = 0; j < W; j += L)
                S::store(packed.row(e - from) + j, load_partial<S>(z.row(e) + j, z.valid - j));
        return;
    }
    if constexpr (Stored<T>::packed == 2) {
        T some[2][W] = {};
        for (int64_t e = from; e < to; e += 2) {
            const bool whole = z.valid == W && e + 1 < to;
            if (!whole) {
                std::memcpy(some[0], z.row(e), z.valid * sizeof(T));
                if (e + 1 < to) std::memcpy(some[1], z.row(e + 1), z.valid * sizeof(T));
                else std::memset(some[1], 0, sizeof(some[1]));
            }
            const T *even = whole ? z.row(e) : some[0], *odd = whole ? z.row(e + 1) : some[1];
            for (int64_t j = 0; j < W; j += L) put_pairs(packed.row((e - from) / 2) + j, even + j, odd + j);
        }
    }
}

// Adapted coordinates from the eigenvectors' coefficients; rows of `out` are asked for, to be written later.
template <class T, class V>
void synthesise_blocks(const Plan<T>& plan, const Slab<T>& z, const Slab<Word<T>>& adapted, const Slab<V>& out) {
    int64_t most = 0;
    for (int64_t b = 0; b < plan.blocks; ++b) most = std::max(most, plan.block_out[b + 1] - plan.block_out[b]);
    const Slab<Word<T>> packed = own_slab<Word<T>, 1>(most);
    for (int64_t b = 0; b < plan.blocks; ++b) {
        const int64_t together = plan.together(b), rows = plan.block_out[b + 1] - plan.block_out[b];
        const int64_t depth = (rows + together - 1) / together;
        pack_rows(z, plan.block_out[b], plan.block_out[b + 1], together, packed);
        const Word<T>* matrix = plan.synthesis + plan.synthesis_start[b];
        for (int64_t row = plan.block_in[b], i = 0; row < plan.block_in[b + 1]; row += WIDE_ROWS, i += WIDE_ROWS) {
            const int64_t kept = std::min<int64_t>(WIDE_ROWS, plan.block_in[b + 1] - row);
            for (int64_t r = row; r < row + kept; ++r) {
                if (r < plan.vertices) out.expect_to_write(r);
                if (r < plan.eigenvectors) z.expect_next(r);
            }
            if (b) panel<T>(matrix + i * depth, packed.row(0), depth, adapted.row(row), adapted.stride, kept);
            else panel<Word<T>>(matrix + i * depth, packed.row(0), depth, adapted.row(row), adapted.stride, kept);
        }
    }
}

// out = diag(blocks)·Qᵀ x.
template <class T, class V>
void analyse_slab(const Plan<T>& plan, Slab<V> x, Slab<T> out) {
    const Slab<Word<T>> packed = packed_slab<T, 0>(plan);
    for_orbits(plan, [&](const OrbitOf<T>& orbit, int v) {
        typename OrbitOf<T>::Vector value[8];
        orbit.read(x, v, value);
        orbit.to_adapted(value, packed, v);
    });
    analyse_blocks(plan, packed, out, x);
}

// One number a column of the slab for each of its vectors.
template <class F>
struct Columns {
    typename Simd<F>::type vector[WIDE];
    static Columns filled(F value) {
        Columns columns;
        for (auto& v : columns.vector) v = Simd<F>::fill(value);
        return columns;
    }
    static Columns read(const F* p, int64_t valid) {
        Columns columns;
        for (int v = 0; v < WIDE; ++v)
            columns.vector[v] = load_partial<Simd<F>>(p + v * Simd<F>::lanes, valid - v * Simd<F>::lanes);
        return columns;
    }
    bool all_zero() const {
        typename Simd<F>::type sum = {};
        for (const auto& v : vector) sum += v < 0 ? -v : v;
        F total = 0;
        for (int i = 0; i < Simd<F>::lanes; ++i) total += sum[i];
        return total == 0;
    }
    void write(F* p, int64_t valid) const {
        for (int v = 0; v < WIDE; ++v)
            store_partial<Simd<F>>(p + v * Simd<F>::lanes, vector[v], valid - v * Simd<F>::lanes);
    }
};

template <class S>
inline typename S::type rectified(const typename S::type& x) {
    return x < S::fill(0) ? S::fill(0) : x;  // NaN stays NaN
}

template <class T>
void clear(Slab<T> slab, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) std::memset(slab.row(i), 0, slab.valid * sizeof(T));
}

// y = scale·(Q·diag(blocks)ᵀ z) + shift, cut off below zero where `rectify`. Outside of a network's mask scale and shift
// are zero: slabs of such columns are zero without being computed, here and below.
template <class T, class V>
void synthesise_slab(const Plan<T>& plan, Slab<T> z, Slab<V> out, const Columns<Word<T>>& scale,
                     const Columns<Word<T>>& shift, bool rectify) {
    using S = Simd<Word<T>>;
    if (scale.all_zero() && shift.all_zero()) return clear(out, plan.vertices);
    const Slab<Word<T>> adapted = own_slab<Word<T>, 2>(plan.coordinates);
    synthesise_blocks(plan, z, adapted, out);
    for_orbits(plan, [&](const OrbitOf<T>& orbit, int v) {
        typename S::type value[8];
        orbit.from_adapted(adapted, v, value);
        for (int64_t i = 0; i < orbit.size; ++i) {
            typename S::type sum = value[i] * scale.vector[v] + shift.vector[v];
            if (rectify) sum = rectified<S>(sum);
            store_partial<S>(out.row(orbit.vertex[i]) + v * S::lanes, sum, out.valid - v * S::lanes);
        }
    });
}

// A network's activations max(scale·field + shift, 0) of fields given by coefficients, one scale and shift a column.
template <class F>
struct Activation {
    const F *scale, *shift;
    F *scale_gradient, *shift_gradient;  // what the backward pass fills
};

// Coefficients of the activations: back to the vertices, cut off, and again to coefficients. `out` may be `z`.
template <class T>
void turn_slab(const Plan<T>& plan, const Activation<Word<T>>& activation, Slab<T> z, Slab<T> out, int64_t first) {
    using S = Simd<Word<T>>;
    const auto scale = Columns<Word<T>>::read(activation.scale + first, z.valid),
               shift = Columns<Word<T>>::read(activation.shift + first, z.valid);
    if (scale.all_zero() && shift.all_zero()) return clear(out, plan.eigenvectors);
    const Slab<Word<T>> adapted = own_slab<Word<T>, 2>(plan.coordinates), packed = packed_slab<T, 0>(plan);
    synthesise_blocks(plan, z, adapted, adapted);
    for_orbits(plan, [&](const OrbitOf<T>& orbit, int v) {
        typename S::type value[8];
        orbit.from_adapted(adapted, v, value);
        for (int64_t i = 0; i < orbit.size; ++i)
            value[i] = rectified<S>(value[i] * scale.vector[v] + shift.vector[v]);
        orbit.to_adapted(value, packed, v);
    });
    analyse_blocks(plan, packed, out, adapted);
}

// The gradient of the activations with respect to z, scale and shift; the field is made anew from z, which costs less
// than keeping it. given(orbit, v, values) writes ∂/∂activations at the orbit's vertices.
template <class T, class GIVEN>
void gate_slab(const Plan<T>& plan, const Activation<Word<T>>& activation, Slab<T> z, Slab<T> out, int64_t first,
               GIVEN given) {
    using S = Simd<Word<T>>;
    using C = Columns<Word<T>>;
    const C scale = C::read(activation.scale + first, z.valid), shift = C::read(activation.shift + first, z.valid);
    C by_scale = C::filled(0), by_shift = C::filled(0);
    if (scale.all_zero() && shift.all_zero()) {
        by_scale.write(activation.scale_gradient + first, z.valid);
        by_shift.write(activation.shift_gradient + first, z.valid);
        return clear(out, plan.eigenvectors);
    }
    const Slab<Word<T>> adapted = own_slab<Word<T>, 2>(plan.coordinates), packed = packed_slab<T, 0>(plan);
    synthesise_blocks(plan, z, adapted, adapted);
    for_orbits(plan, [&](const OrbitOf<T>& orbit, int v) {
        typename S::type value[8], gradient[8];
        orbit.from_adapted(adapted, v, value);
        given(orbit, v, gradient);
        for (int64_t i = 0; i < orbit.size; ++i) {
            gradient[i] = value[i] * scale.vector[v] + shift.vector[v] > S::fill(0) ? gradient[i] : S::fill(0);
            by_shift.vector[v] += gradient[i];
            by_scale.vector[v] += gradient[i] * value[i];
            gradient[i] *= scale.vector[v];
        }
        orbit.to_adapted(gradient, packed, v);
    });
    analyse_blocks(plan, packed, out, adapted);
    by_scale.write(activation.scale_gradient + first, z.valid);
    by_shift.write(activation.shift_gradient + first, z.valid);
}

// `given`: ∂/∂activations on the vertices.
template <class T>
void activation_gradient_slab(const Plan<T>& plan, const Activation<Word<T>>& activation, Slab<T> z, Slab<Word<T>> given,
                              Slab<T> out, int64_t first) {
    gate_slab(plan, activation, z, out, first,
              [&](const OrbitOf<T>& orbit, int v, auto& gradient) { orbit.read(given, v, gradient); });
}

// The same where ∂/∂activations is given by its gradient with respect to their coefficients.
template <class T>
void turn_gradient_slab(const Plan<T>& plan, const Activation<Word<T>>& activation, Slab<T> z, Slab<T> given, Slab<T> out,
                        int64_t first) {
    const Slab<Word<T>> adapted = own_slab<Word<T>, 12>(plan.coordinates);
    synthesise_blocks(plan, given, adapted, adapted);
    gate_slab(plan, activation, z, out, first,
              [&](const OrbitOf<T>& orbit, int v, auto& gradient) { orbit.from_adapted(adapted, v, gradient); });
}

}  // namespace shd
