// The first estimate of each voxel and the rounds of the coherent one: shd/scans/first_estimate.py and estimate_rounds.py
// say what is computed.
//
// Voxels are rows, unknowns columns. A block of voxels stays in the first-level cache over all its iterations; the
// matrices, the same for every block, stay in the second.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "vectors.h"

namespace shd {

// A matrix (depth, outputs) in panels of ESTIMATE_WIDE vectors of outputs, the last one with as many as are left.
template <class F>
class Panelled {
    using S = Simd<F>;
    std::unique_ptr<F, decltype(&std::free)> memory{nullptr, &std::free};

public:
    int64_t depth, vectors;

    // transposed: `matrix` is (outputs, depth).
    Panelled(const F* matrix, int64_t depth, int64_t outputs, bool transposed = false)
        : depth(depth), vectors((outputs + S::lanes - 1) / S::lanes) {
        const size_t bytes = std::max<size_t>(1, depth * vectors) * SHD_VECTOR_BYTES;
        memory.reset(static_cast<F*>(std::aligned_alloc(SHD_VECTOR_BYTES, bytes)));
        for (int64_t p = 0; p < vectors; p += ESTIMATE_WIDE) {
            const int64_t width = std::min<int64_t>(ESTIMATE_WIDE, vectors - p) * S::lanes;
            F* out = memory.get() + p * S::lanes * depth;
            for (int64_t k = 0; k < depth; ++k)
                for (int64_t j = 0; j < width; ++j) {
                    const int64_t output = p * S::lanes + j;
                    const int64_t place = transposed ? output * depth + k : k * outputs + output;
                    out[k * width + j] = output < outputs ? matrix[place] : F(0);
                }
        }
    }
    const F* panel(int64_t first) const { return memory.get() + first * S::lanes * depth; }
};

// done(voxel, column, sum) for the products of a block's rows with one panel.
template <class F, int VECTORS, class DONE>
inline void product_panel(const F* rows, int64_t stride, const F* matrix, int64_t depth, int64_t first, DONE done) {
    using S = Simd<F>;
    typename S::type sum[ESTIMATE_ROWS][VECTORS] = {};
    for (int64_t k = 0; k < depth; ++k) {
        typename S::type row[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v) row[v] = S::load(matrix + (k * VECTORS + v) * S::lanes);
#pragma GCC unroll 8
        for (int i = 0; i < ESTIMATE_ROWS; ++i) {
            const typename S::type factor = S::fill(rows[i * stride + k]);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; ++v) sum[i][v] += factor * row[v];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ESTIMATE_ROWS; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v) done(i, (first + v) * S::lanes, sum[i][v]);
}

template <class F, class DONE>
inline void product(const F* rows, int64_t stride, const Panelled<F>& matrix, DONE done) {
    static_assert(ESTIMATE_WIDE == 3, "the cases below");
    for (int64_t p = 0; p < matrix.vectors; p += ESTIMATE_WIDE) {
        const F* panel = matrix.panel(p);
        switch (std::min<int64_t>(ESTIMATE_WIDE, matrix.vectors - p)) {
            case 3: product_panel<F, 3>(rows, stride, panel, matrix.depth, p, done); break;
            case 2: product_panel<F, 2>(rows, stride, panel, matrix.depth, p, done); break;
            default: product_panel<F, 1>(rows, stride, panel, matrix.depth, p, done);
        }
    }
}

// Matrices of the iteration; arrays as `FirstEstimator` has them.
template <class F>
struct Iteration {
    int64_t unknowns, rank, volumes, steps;
    const F *start, *shrink, *lift;
    F kept;
};

// What a round adds. spread: (vertex, vertex). seen: (rank, volume) prediction from what `lift` projects on. floor: 1
// for volumes with a noise floor. sparsity, continuity: divided by κ; sparsity times ε. bias: polynomial in 2/(1 + S/2σ) − 1
// of the floor times (1 + S/2σ), the highest power first, for σ = 1. beside: six rows a voxel.
template <class F>
struct Round {
    int64_t vertices, faces, powers;
    const F *spread, *seen, *floor, *bias;
    const int64_t* beside;
    F support, sparsity, continuity;
};

// What a thread keeps of a block: rows of voxels, whole vectors long.
template <class F>
struct Block {
    using S = Simd<F>;
    int64_t unknowns, rank, volumes;
    F *state, *size, *pull, *folded, *target, *signal;

    Block(const Iteration<F>& it) : unknowns(whole(it.unknowns)), rank(whole(it.rank)), volumes(whole(it.volumes)) {
        F* memory = scratch<F, 19>(ESTIMATE_ROWS * (3 * unknowns + 2 * rank + volumes) + SLACK);
        for (F** part : {&state, &size, &pull}) *part = memory, memory += ESTIMATE_ROWS * unknowns;
        for (F** part : {&folded, &target}) *part = memory, memory += ESTIMATE_ROWS * rank;
        signal = memory;
    }
    static int64_t whole(int64_t count) { return (count + S::lanes - 1) / S::lanes * S::lanes; }

    // Rows `voxel` of an array (voxel, count) into `own`.
    static void read(const F* given, int64_t count, const int64_t* voxel, F* own) {
        for (int i = 0; i < ESTIMATE_ROWS; ++i)
            for (int64_t j = 0; j < count; j += S::lanes)
                S::store(own + i * whole(count) + j, load_partial<S>(given + voxel[i] * count + j, count - j));
    }
};

template <class S>
inline typename S::type positive(const typename S::type& value) {
    return value > 0 ? value : S::fill(0);
}

// The iteration's matrices as products read them.
template <class F>
struct IterationPanels {
    Panelled<F> start, shrink, lift;
    IterationPanels(const Iteration<F>& it)
        : start(it.start, it.volumes, it.rank), shrink(it.shrink, it.unknowns, it.rank),
          lift(it.lift, it.rank, it.unknowns) {}
};

// state ← min(state, 0) + (AᵀA + κ)⁻¹(Aᵀs + pull + penalty·|state|), `steps` times.
template <class F>
inline void iterate(const Iteration<F>& it, const IterationPanels<F>& panels, Block<F>& block) {
    using S = Simd<F>;
    typedef typename S::type Vector;
    const Vector kept = S::fill(it.kept), rest = S::fill(1 - it.kept), per_kept = S::fill(1 / it.kept);
    for (int64_t j = 0; j < ESTIMATE_ROWS * block.unknowns; j += S::lanes) {
        const Vector state = S::load(block.state + j);
        S::store(block.size + j, (state > 0 ? state : -state) + per_kept * S::load(block.pull + j));
    }
    for (int64_t step = 0; step < it.steps; ++step) {
        product(block.size, block.unknowns, panels.shrink, [&](int i, int64_t j, const Vector& sum) {
            const int64_t place = i * block.rank + j;
            S::store(block.folded + place, sum + S::load(block.target + place));
        });
        product(block.folded, block.rank, panels.lift, [&](int i, int64_t j, const Vector& sum) {
            const int64_t place = i * block.unknowns + j;
            const Vector state = S::load(block.state + place), pull = S::load(block.pull + place);
            const Vector next = (state > 0 ? kept : rest) * state + sum + pull;
            S::store(block.state + place, next);
            S::store(block.size + place, (next > 0 ? next : -next) + per_kept * pull);
        });
    }
}

// A block of the first estimate: the iteration from nothing, with no pull.
template <class F>
inline void estimate_alone(const Iteration<F>& it, const IterationPanels<F>& panels, Block<F>& block) {
    using S = Simd<F>;
    typedef typename S::type Vector;
    std::fill(block.pull, block.pull + ESTIMATE_ROWS * block.unknowns, F(0));
    product(block.signal, block.volumes, panels.start,
            [&](int i, int64_t j, const Vector& sum) { S::store(block.target + i * block.rank + j, sum); });
    product(block.target, block.rank, panels.lift,
            [&](int i, int64_t j, const Vector& sum) { S::store(block.state + i * block.unknowns + j, sum); });
    iterate(it, panels, block);
}

// What a round needs beside, as products read it.
template <class F>
struct RoundPanels {
    Panelled<F> spread, projected, seen;
    RoundPanels(const Iteration<F>& it, const Round<F>& round)
        : spread(round.spread, round.vertices, round.vertices), projected(it.lift, it.unknowns, it.rank, true),
          seen(round.seen, it.rank, it.volumes) {}
};

// pull ← −½ the gradient of the neighbours' part, divided by κ.
template <class F>
inline void pull_of_neighbours(const Iteration<F>& it, const Round<F>& round, const Panelled<F>& spread,
                               const F* before, const F* noise, const int64_t* voxel, Block<F>& block) {
    using S = Simd<F>;
    typedef typename S::type Vector;
    const int64_t stride = block.unknowns;
    const Vector share = S::fill(F(1) / round.faces);
    for (int i = 0; i < ESTIMATE_ROWS; ++i) {
        const int64_t* beside = round.beside + voxel[i] * round.faces;
        for (int64_t j = 0; j < stride; j += S::lanes) {
            Vector sum = {};
            for (int64_t face = 0; face < round.faces; ++face)
                sum += positive<S>(load_partial<S>(before + beside[face] * it.unknowns + j, it.unknowns - j));
            S::store(block.size + i * stride + j, sum * share);
        }
    }
    for (int64_t j = 0; j < ESTIMATE_ROWS * stride; j += S::lanes)
        S::store(block.pull + j, S::fill(round.continuity) * S::load(block.size + j));
    product(block.size, stride, spread, [&](int i, int64_t j, const Vector& sum) {
        const Vector cost = S::fill(round.sparsity * noise[voxel[i]]) / (sum + S::fill(round.support));
        F* out = block.pull + i * stride + j;
        const int64_t left = round.vertices - j;  // unknowns beyond the vertices cost nothing
        store_partial<S>(out, S::load(out) - cost, left);
    });
}

// target ← (signal less what the noise adds to the predicted one)·start.
template <class F>
inline void target_above_floor(const Round<F>& round, const IterationPanels<F>& panels,
                               const RoundPanels<F>& more, const F* noise, const int64_t* voxel, Block<F>& block) {
    using S = Simd<F>;
    typedef typename S::type Vector;
    for (int64_t j = 0; j < ESTIMATE_ROWS * block.unknowns; j += S::lanes)
        S::store(block.size + j, positive<S>(S::load(block.state + j)));
    product(block.size, block.unknowns, more.projected,
            [&](int i, int64_t j, const Vector& sum) { S::store(block.folded + i * block.rank + j, sum); });
    product(block.folded, block.rank, more.seen, [&](int i, int64_t j, const Vector& sum) {
        const F deviation = noise[voxel[i]];
        const Vector near = S::fill(1) / (S::fill(1) + positive<S>(sum) * S::fill(F(0.5) / deviation));
        const Vector x = S::fill(2) * near - S::fill(1);
        Vector value = S::fill(round.bias[0]);
        for (int64_t power = 1; power < round.powers; ++power) value = value * x + S::fill(round.bias[power]);
        F* out = block.signal + i * block.volumes + j;
        S::store(out, S::load(out) - S::load(round.floor + j) * S::fill(deviation) * near * value);
    });
    product(block.signal, block.volumes, panels.start,
            [&](int i, int64_t j, const Vector& sum) { S::store(block.target + i * block.rank + j, sum); });
}

// A block's round: towards what its neighbours held before.
template <class F>
inline void estimate_round(const Iteration<F>& it, const IterationPanels<F>& panels, const Round<F>& round,
                           const RoundPanels<F>& more, const F* before, const F* noise, const int64_t* voxel,
                           Block<F>& block) {
    Block<F>::read(before, it.unknowns, voxel, block.state);
    target_above_floor(round, panels, more, noise, voxel, block);
    pull_of_neighbours(it, round, more.spread, before, noise, voxel, block);
    iterate(it, panels, block);
}

}  // namespace shd
