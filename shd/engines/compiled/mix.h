// Channel mixing in the eigenbasis: out[λ] = Σ_r (S_r z[λ]) W_λ[r], W_λ[r] = Σ_k T_k(λ) W[k, r], S_r the sums over the
// voxels at the r-th distance. One eigenvalue at a time, its volume and its weights staying in the cache.
#pragma once
#include "neighbours.h"

namespace shd {

// sum[i][:] += Σ_k a[i·row + k·step]·b[k·depth_stride][:] over `depth` words.
template <class P, int ROWS>
inline void accumulate(typename P::S::type (&sum)[ROWS][P::vectors], const typename P::F* a, int64_t row, int64_t step,
                       const typename P::F* b, int64_t depth_stride, int64_t depth) {
    using S = typename P::S;
    const typename P::F* base[(ROWS + 2) / 3];
    for (int i = 0; i < (ROWS + 2) / 3; ++i) base[i] = a + 3 * i * row;
    for (int64_t k = 0; k < depth; ++k) {
        typename S::type line[P::vectors];
#pragma GCC unroll 4
        for (int v = 0; v < P::vectors; ++v) line[v] = S::load(b + k * depth_stride + v * S::lanes);
#pragma GCC unroll 12
        for (int i = 0; i < ROWS; ++i) {
            const typename S::type factor = S::fill(base[i / 3][i % 3 * row + k * step]);
#pragma GCC unroll 4
            for (int v = 0; v < P::vectors; ++v) sum[i][v] = add_product<typename P::T>(sum[i][v], factor, line[v]);
        }
    }
}

// Weights of all orders in panels of vectors: (order, panel, radius·channel_in, lane), zero-padded; where products take
// several terms at a time, those lie side by side.
template <class P>
struct Panels {
    typedef typename P::T T;
    typedef typename P::F F;
    static constexpr int64_t width = P::width;
    static int64_t count(int64_t outputs) { return P::panels(outputs); }
    // `depth`: in words.
    static size_t size(int64_t depth, int64_t outputs) { return depth * Stored<T>::packed * P::padded(outputs); }
    static void pack(const Mix<T>& mix, F* packed, int threads) {
        const int64_t panels = count(mix.outputs), inputs = mix.inputs();
        const size_t panel_size = mix.depth() * Stored<T>::packed * width;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t panel = 0; panel < mix.orders * panels; ++panel) {
            F* place = packed + panel * panel_size;
            const F* row = mix.weight + panel / panels * mix.radii * inputs * mix.outputs + panel % panels * width;
            for (int64_t r = 0; r < mix.radii; ++r)
                for (int64_t s = 0; s < mix.sources; ++s)
                    for (int64_t i = 0; i < mix.source[s].channels; i += Stored<T>::packed) {
                        const int64_t rows = std::min<int64_t>(Stored<T>::packed, mix.source[s].channels - i);
                        pack_rows(row, rows, mix.outputs, mix.outputs - panel % panels * width, place);
                        place += Stored<T>::packed * width;
                        row += rows * mix.outputs;
                    }
        }
    }
    // The first `some` numbers of `rows` rows side by side, zeros where there are fewer than a word and a panel hold.
    static void pack_rows(const F* row, int64_t rows, int64_t stride, int64_t some, F* place) {
        constexpr int together = Stored<T>::packed;
        if (some >= width && rows == together) {
            for (int64_t j = 0; j < width; ++j)
                for (int i = 0; i < together; ++i) place[j * together + i] = row[i * stride + j];
            return;
        }
        std::memset(place, 0, together * width * sizeof(F));
        for (int64_t j = 0; j < std::min<int64_t>(some, width); ++j)
            for (int i = 0; i < rows; ++i) place[j * together + i] = row[i * stride + j];
    }
    // The transposed weight of the inputs `first` to `first` + `some`, which become the outputs.
    static void pack_transposed(const Mix<T>& mix, int64_t first, int64_t some, F* packed, int threads) {
        constexpr int together = Stored<T>::packed;
        const int64_t panels = count(some), out = mix.outputs, inputs = mix.inputs();
        const size_t panel_size = mix.radii * whole_words<T>(out) * together * width;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t panel = 0; panel < mix.orders * panels; ++panel) {
            F* place = packed + panel * panel_size;
            const int64_t from = panel % panels * width, lanes = std::min(width, some - from);
            std::memset(place, 0, panel_size * sizeof(F));
            for (int64_t r = 0; r < mix.radii; ++r) {
                const F* weight = mix.weight + ((panel / panels * mix.radii + r) * inputs + first + from) * out;
                for (int64_t o = 0; o < out; o += together, place += together * width)
                    for (int64_t j = 0; j < lanes; ++j)
                        for (int64_t i = 0; i < std::min<int64_t>(together, out - o); ++i)
                            place[j * together + i] = weight[j * out + o + i];
            }
        }
    }
};

// combined = Σ_k factors[k]·packed[k]
template <class F, class T>
inline void combine(const F* packed, const F* factors, int64_t orders, size_t size, T* combined) {
    using S = Simd<F>;
    for (size_t j = 0; j < size; j += S::lanes) {  // arrays have SLACK elements more
        typename S::type sum = S::load(packed + j) * S::fill(factors[0]);
        for (int64_t k = 1; k < orders; ++k) sum += S::load(packed + k * size + j) * S::fill(factors[k]);
        put<S>(combined + j, sum);
    }
}

// Sums over eigenvectors that a normalisation needs, so that it costs no pass of its own (Parseval). One thread's part.
template <class F>
struct Statistics {
    const F* mask;           // (voxel)
    F* voxel_power;          // (voxel, FOLDED) Σ over eigenvectors and channels of z²
    double *channel_power;   // (channel) Σ over eigenvectors and masked voxels of z²
    double *channel_total;   // (channel) the same of mode·z
};

// The mixing of one eigenvector's volume at work: P says how outputs lie in vectors.
template <class P>
struct VertexMix {
    typedef typename P::T T;
    typedef typename P::F F;
    typedef typename P::S S;
    const Mix<T>& mix;
    const NeighbourGroup<T>& group;
    const F* weights;                  // panels of this eigenvalue, in words
    T* out;                            // (voxel, outputs)
    const Statistics<F>* statistics;   // or null

    // ROWS rows of one panel, `kept` of which exist, from row `row` of a group of `rows` that starts at `voxel`.
    template <int ROWS>
    void multiply(int64_t panel, int64_t row, int64_t rows, int64_t kept, int64_t voxel,
                  typename S::type (&squares)[P::vectors], typename S::type (&totals)[P::vectors]) const {
        typename S::type sum[ROWS][P::vectors] = {};
        T* target = out + (voxel + row) * mix.outputs + panel * P::width;
        for (int64_t i = 2 * MIX_ROWS; i < 2 * MIX_ROWS + ROWS; ++i)
            prefetch_to_write(target + i * mix.outputs, P::width);
        const F* weight = weights + panel * mix.depth() * P::width;
        for (int r = 0; r < mix.radii; ++r)
            for (int s = 0; s < mix.sources; ++s) {
                const int64_t c = whole_words<T>(mix.source[s].channels);
                accumulate<P, ROWS>(sum, words(group.from(s, r, row, rows)), c, 1, weight, P::width, c);
                weight += c * P::width;
            }
        const int64_t left = mix.outputs - panel * P::width;
        for (int64_t i = 0; i < kept; ++i)
            for (int v = 0; v < P::vectors; ++v)
                store_partial<S>(target + i * mix.outputs + v * S::lanes, sum[i][v], left - v * S::lanes);
        if (!statistics) return;
        for (int64_t i = 0; i < kept; ++i) {  // lanes beyond the outputs are zero
            const typename S::type inside = S::fill(statistics->mask[voxel + row + i]);
            typename S::type power = {};
            for (int v = 0; v < P::vectors; ++v) {
                const typename S::type square = sum[i][v] * sum[i][v];
                power += square;
                squares[v] += inside * square;
                totals[v] += inside * sum[i][v];
            }
            const auto part = folded<F, sizeof(power)>(power);
            using Part = Simd<F, sizeof(part)>;
            F* place = statistics->voxel_power + (voxel + row + i) * FOLDED;
            Part::store(place, Part::load(place) + part);
        }
    }

    void multiply_group(int64_t rows, int64_t voxel, F mode) const {
        for (int64_t panel = 0; panel < P::panels(mix.outputs); ++panel) {
            typename S::type squares[P::vectors] = {}, totals[P::vectors] = {};
            for (int64_t row = 0; row < rows;) {
                const int64_t left = rows - row;
                if (left > MIX_ROWS * 2 / 3) {
                    multiply<MIX_ROWS>(panel, row, rows, std::min<int64_t>(MIX_ROWS, left), voxel, squares, totals);
                    row += MIX_ROWS;
                } else {
                    multiply<MIX_ROWS / 3>(panel, row, rows, std::min<int64_t>(MIX_ROWS / 3, left), voxel, squares, totals);
                    row += MIX_ROWS / 3;
                }
            }
            if (!statistics) continue;
            F lanes[2][P::width];
            for (int v = 0; v < P::vectors; ++v) {
                S::store(lanes[0] + v * S::lanes, squares[v]);
                S::store(lanes[1] + v * S::lanes, totals[v]);
            }
            for (int64_t c = 0; c < std::min<int64_t>(P::width, mix.outputs - panel * P::width); ++c) {
                statistics->channel_power[panel * P::width + c] += lanes[0][c];
                statistics->channel_total[panel * P::width + c] += mode * lanes[1][c];
            }
        }
    }
};

// One eigenvector's volume: out (voxel, outputs). `mode`: the sum of the eigenvector over the vertices.
template <class P>
void mix_vertex(const Mix<typename P::T>& mix, const typename P::F* packed, int64_t vertex, typename P::T* out,
                const Statistics<typename P::F>* statistics, typename P::F mode) {
    typedef typename P::T T;
    const Grid& grid = mix.grid;
    const size_t size = Panels<P>::size(mix.depth(), mix.outputs);
    T* weights = scratch<T, 3>(size + SLACK);
    combine(packed, mix.polynomials + vertex * mix.orders, mix.orders, size, weights);
    const int64_t lines = lines_in_group(grid, mix.depth(), 96);
    NeighbourGroup<T> group(mix, vertex, lines);
    const VertexMix<P> work{mix, group, words(weights), out, statistics};
    for (int64_t b = 0; b < grid.batch; ++b)
        for (int64_t x = 0; x < grid.x; ++x) {
            group.start(b, x);
            for (int64_t y = 0; y < grid.y; y += lines) {
                const int64_t rows = group.gather(y, std::min(lines, grid.y - y));
                work.multiply_group(rows, ((b * grid.x + x) * grid.y + y) * grid.z, mode);
            }
        }
}

}  // namespace shd
