// Gradients of the channel mixing. S_r is its own adjoint, so the neighbour sums of the gradient serve both: multiplied
// by the transposed weights they are the gradient of the input, and multiplied by the input that of the weights.
#pragma once
#include "mix.h"

namespace shd {

// ∂/∂out, ∂/∂ the statistics (all null where nothing depends on them), and `out` itself for those.
template <class T>
struct OutputGradient {
    const T *gradient, *output;  // (eigenvector, voxel, outputs)
    const Word<T> *voxel_power, *channel_power, *channel_total, *mask, *modes;
};

// Rows of a field of one eigenvector, expanded where they are stored once for 2×2×2 voxels.
template <class T>
const T* field_rows(const Field<T>& field, const Grid& grid, int64_t vertex, int64_t batch, int64_t x, int64_t y,
                    int64_t lines) {
    const int64_t count = grid.z * field.channels;
    const T* volume = volume_of(field, grid, vertex);
    if (!field.halved) return volume + ((batch * grid.x + x) * grid.y + y) * count;
    T* rows = scratch<T, 7>(lines * count + SLACK);
    for (int64_t i = 0; i < lines; ++i) expand_line(field, grid, volume, batch, x, y + i, field.channels, rows + i * count);
    return rows;
}

// Rows as products over them take them: as many side by side in a word as it holds. Unless T is a word, in `memory`.
template <class T>
const Word<T>* rows_in_words(const T* rows, int64_t count, int64_t width, Word<T>* memory) {
    if constexpr (Stored<T>::packed == 1) {
        return rows;
    } else {
        constexpr int64_t L = Simd<Word<T>>::lanes;
        for (int64_t n = 0; n < count; n += 2, memory += width, rows += 2 * width) {
            T some[2][L] = {};
            for (int64_t j = 0; j < width; j += L) {  // what is written beyond a row is written over
                const int64_t left = std::min(L, width - j);
                load_some(some[0], rows + j, left);
                if (n + 1 < count) load_some(some[1], rows + width + j, left);
                else std::memset(some[1], 0, sizeof(some[1]));
                put_pairs(memory + j, some[0], some[1]);
            }
        }
        return memory - (count + 1) / 2 * width;
    }
}

// weight[i][:] += Σ_n rows[n][i]·sums[n][:], ROWS channels i of the input at a time.
template <class P, int ROWS>
inline void add_products(const typename P::F* rows, int64_t channels, const typename P::F* sums, int64_t outputs,
                         int64_t count, typename P::F* weight) {
    using S = typename P::S;
    const int64_t padded = P::padded(outputs);
    for (int64_t p = 0; p < padded; p += P::width) {
        typename S::type sum[ROWS][P::vectors];
        for (int i = 0; i < ROWS; ++i)
            for (int v = 0; v < P::vectors; ++v) sum[i][v] = S::load(weight + i * padded + p + v * S::lanes);
        accumulate<P, ROWS>(sum, rows, 1, channels, sums + p, outputs, count);
        for (int i = 0; i < ROWS; ++i)
            for (int v = 0; v < P::vectors; ++v) S::store(weight + i * padded + p + v * S::lanes, sum[i][v]);
    }
}

// The whole gradient of one eigenvector's volume with respect to what was mixed.
template <class T>
const T* gradient_volume(const Mix<T>& mix, const OutputGradient<T>& given, int64_t vertex) {
    using S = Simd<Word<T>>;
    const int64_t voxels = mix.grid.voxels(), c = mix.outputs;
    T* whole = scratch<T, 8>(voxels * c + 2 * SLACK);
    const T* gradient = given.gradient + vertex * voxels * c;
    if (!given.voxel_power) {
        std::memcpy(whole, gradient, voxels * c * sizeof(T));
        return whole;
    }
    const T* output = given.output + vertex * voxels * c;
    const auto mode = S::fill(given.modes[vertex]);
    for (int64_t n = 0; n < voxels; ++n) {
        const auto power = S::fill(2 * given.voxel_power[n]), inside = S::fill(given.mask[n]);
        for (int64_t o = 0; o < c; o += S::lanes) {  // what is written beyond the channels is written over
            const auto by_power = power + 2 * inside * load_partial<S>(given.channel_power + o, c - o);
            const auto by_total = mode * inside * load_partial<S>(given.channel_total + o, c - o);
            put<S>(whole + n * c + o, load_partial<S>(gradient + n * c + o, c - o) +
                                          load_partial<S>(output + n * c + o, c - o) * by_power + by_total);
        }
    }
    return whole;
}

// The gradient of one source, for rows that have been gathered: `group` holds the sums of the output's gradient.
template <class P>
void source_gradient(const NeighbourGroup<typename P::T>& group, int64_t radii, int64_t outputs, int64_t channels,
                     const typename P::F* weights, int64_t rows, typename P::T* out) {
    using S = typename P::S;
    const int64_t depth = whole_words<typename P::T>(outputs);
    for (int64_t p = 0; p < P::panels(channels); ++p)
        for (int64_t row = 0; row < rows; row += MIX_ROWS) {
            typename S::type sum[MIX_ROWS][P::vectors] = {};
            for (int r = 0; r < radii; ++r)
                accumulate<P, MIX_ROWS>(sum, words(group.from(0, r, row, rows)), depth, 1,
                                        weights + (p * radii + r) * depth * P::width, P::width, depth);
            for (int64_t i = 0; i < std::min<int64_t>(MIX_ROWS, rows - row); ++i)
                for (int v = 0; v < P::vectors; ++v)
                    store_partial<S>(out + (row + i) * channels + p * P::width + v * S::lanes, sum[i][v],
                                     channels - p * P::width - v * S::lanes);
        }
}

// The transposed weights of one eigenvalue for each source whose gradient is wanted.
template <class T>
struct TransposedWeights {
    const Word<T>* of[2];
    TransposedWeights(const Mix<T>& mix, const Word<T>* const* packed, int64_t vertex, T* const* source) {
        const int64_t depth = mix.radii * whole_words<T>(mix.outputs);
        for (int s = 0; s < mix.sources; ++s) {
            const size_t size = with_lanes<T>(mix.source[s].channels, [&](auto lanes) {
                return Panels<decltype(lanes)>::size(depth, mix.source[s].channels);
            });
            T* weights = s ? scratch<T, 9>(size + SLACK) : scratch<T, 3>(size + SLACK);
            if (source[s]) combine(packed[s], mix.polynomials + vertex * mix.orders, mix.orders, size, weights);
            of[s] = words(weights);
        }
    }
};

// products (radius, channel_in, padded outputs) += Σ over `count` rows of a source and of sums of the output's gradient.
template <class P>
void weight_gradient(const Mix<typename P::T>& mix, const NeighbourGroup<typename P::T>& group,
                     const typename P::T* rows, int64_t channels, int64_t first, int64_t count, typename P::F* products) {
    typedef typename P::T T;
    typedef typename P::F F;
    const int64_t padded = P::padded(mix.outputs), depth = whole_words<T>(count);
    const int64_t stride = whole_words<T>(mix.outputs) * Stored<T>::packed;
    const F* given = rows_in_words(rows, count, channels, scratch<F, 17>(depth * channels + SLACK));
    for (int r = 0; r < mix.radii; ++r) {
        F* place = products + (r * mix.inputs() + first) * padded;
        const F* sums = rows_in_words(group.sums[0][r], count, stride, scratch<F, 18>(depth * stride + SLACK));
        int64_t i = 0;
        for (; i + MIX_ROWS <= channels; i += MIX_ROWS)
            add_products<P, MIX_ROWS>(given + i, channels, sums, stride, depth, place + i * padded);
        for (; i + 4 <= channels; i += 4) add_products<P, 4>(given + i, channels, sums, stride, depth, place + i * padded);
        for (; i < channels; ++i) add_products<P, 1>(given + i, channels, sums, stride, depth, place + i * padded);
    }
}

// source[s]: (eigenvector, voxel, channel) or null. weight: (order, radius, channel_in, padded outputs), added to.
template <class P>
void differentiate_vertex(const Mix<typename P::T>& mix, const OutputGradient<typename P::T>& given,
                          const typename P::F* const* transposed, int64_t vertex, typename P::T* const* source,
                          typename P::F* weight) {
    typedef typename P::T T;
    typedef typename P::F F;
    using S = Simd<F>;
    const Grid& grid = mix.grid;
    const int64_t size = mix.radii * mix.inputs() * P::padded(mix.outputs);
    Mix<T> back = mix;
    back.sources = 1;
    back.source[0] = {gradient_volume(mix, given, vertex), mix.outputs, 0};
    const TransposedWeights<T> weights(mix, transposed, vertex, source);
    F* products = scratch<F, 10>(size + SLACK);
    std::memset(products, 0, size * sizeof(F));
    const int64_t lines = lines_in_group(grid, back.depth(), 128);
    NeighbourGroup<T> group(back, 0, lines);
    for (int64_t b = 0; b < grid.batch; ++b)
        for (int64_t x = 0; x < grid.x; ++x) {
            group.start(b, x);
            for (int64_t y = 0; y < grid.y; y += lines) {
                const int64_t here = std::min(lines, grid.y - y), rows = group.gather(y, here);
                const int64_t voxel = ((b * grid.x + x) * grid.y + y) * grid.z;
                for (int64_t s = 0, first = 0; s < mix.sources; first += mix.source[s++].channels) {
                    const int64_t c = mix.source[s].channels;
                    const T* given_rows = field_rows(mix.source[s], grid, vertex, b, x, y, here);
                    weight_gradient<P>(mix, group, given_rows, c, first, rows, products);
                    if (!source[s]) continue;
                    T* out = source[s] + (vertex * grid.voxels() + voxel) * c;
                    with_lanes<T>(c, [&](auto lanes) {
                        source_gradient<decltype(lanes)>(group, mix.radii, mix.outputs, c, weights.of[s], rows, out);
                    });
                }
            }
        }
    for (int64_t k = 0; k < mix.orders; ++k) {
        const typename S::type factor = S::fill(mix.polynomials[vertex * mix.orders + k]);
        F* order = weight + k * size;
        int64_t j = 0;  // the next order follows at once: what is beyond `size` must stay
        for (; j + S::lanes <= size; j += S::lanes)
            S::store(order + j, S::load(order + j) + factor * S::load(products + j));
        for (; j < size; ++j) order[j] += factor[0] * products[j];
    }
}

}  // namespace shd
