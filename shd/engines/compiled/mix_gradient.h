// Gradients of the channel mixing. S_r is its own adjoint, so the neighbour sums of the gradient serve both: multiplied
// by the transposed weights they are the gradient of the input, and multiplied by the input that of the weights. All of it
// in the arithmetic of words, also where fields are stored as bfloat16.
#pragma once
#include "mix.h"

namespace shd {

// ∂/∂out, ∂/∂ the statistics (all null where nothing depends on them), and `out` itself for those.
template <class T>
struct OutputGradient {
    const T *gradient, *output;  // (eigenvector, voxel, outputs)
    const Word<T> *voxel_power, *channel_power, *channel_total, *mask, *modes;
};

// Rows of a field of one eigenvector, expanded where they are not stored so.
template <class T>
const Word<T>* field_rows(const Field<T>& field, const Grid& grid, int64_t vertex, int64_t batch, int64_t x, int64_t y,
                          int64_t lines) {
    const int64_t count = grid.z * field.channels;
    const T* volume = volume_of(field, grid, vertex);
    if constexpr (Stored<T>::packed == 1)
        if (!field.halved) return volume + ((batch * grid.x + x) * grid.y + y) * count;
    Word<T>* rows = scratch<Word<T>, 7>(lines * count + SLACK);
    for (int64_t i = 0; i < lines; ++i) expand_line(field, grid, volume, batch, x, y + i, field.channels, rows + i * count);
    return rows;
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
const Word<T>* gradient_volume(const Mix<T>& mix, const OutputGradient<T>& given, int64_t vertex) {
    using S = Simd<Word<T>>;
    const int64_t voxels = mix.grid.voxels(), c = mix.outputs;
    Word<T>* whole = scratch<Word<T>, 8>(voxels * c + 2 * SLACK);
    const T* gradient = given.gradient + vertex * voxels * c;
    if (!given.voxel_power) {
        for (int64_t j = 0; j < voxels * c; j += S::lanes)
            S::store(whole + j, load_partial<S>(gradient + j, voxels * c - j));
        return whole;
    }
    const T* output = given.output + vertex * voxels * c;
    const auto mode = S::fill(given.modes[vertex]);
    for (int64_t n = 0; n < voxels; ++n) {
        const auto power = S::fill(2 * given.voxel_power[n]), inside = S::fill(given.mask[n]);
        for (int64_t o = 0; o < c; o += S::lanes) {  // what is written beyond the channels is written over
            const auto by_power = power + 2 * inside * load_partial<S>(given.channel_power + o, c - o);
            const auto by_total = mode * inside * load_partial<S>(given.channel_total + o, c - o);
            S::store(whole + n * c + o, load_partial<S>(gradient + n * c + o, c - o) +
                                            load_partial<S>(output + n * c + o, c - o) * by_power + by_total);
        }
    }
    return whole;
}

// The gradient of one source, for rows that have been gathered: `group` holds the sums of the output's gradient.
template <class P, class T>
void source_gradient(const NeighbourGroup<typename P::F>& group, int64_t radii, int64_t outputs, int64_t channels,
                     const typename P::F* weights, int64_t rows, T* out) {
    using S = typename P::S;
    const int64_t depth = radii * outputs;
    for (int64_t p = 0; p < P::panels(channels); ++p)
        for (int64_t row = 0; row < rows; row += MIX_ROWS) {
            typename S::type sum[MIX_ROWS][P::vectors] = {};
            for (int r = 0; r < radii; ++r)
                accumulate<P, MIX_ROWS>(sum, group.from(0, r, row, rows), outputs, 1,
                                        weights + (p * depth + r * outputs) * P::width, P::width, outputs);
            for (int64_t i = 0; i < std::min<int64_t>(MIX_ROWS, rows - row); ++i)
                for (int v = 0; v < P::vectors; ++v)
                    store_partial<S>(out + (row + i) * channels + p * P::width + v * S::lanes, sum[i][v],
                                     channels - p * P::width - v * S::lanes);
        }
}

// source[s]: (eigenvector, voxel, channel) or null. weight: (order, radius, channel_in, padded outputs), added to.
template <class P, class T>
void differentiate_vertex(const Mix<T>& mix, const OutputGradient<T>& given, const Word<T>* const* transposed,
                          int64_t vertex, T* const* source, Word<T>* weight) {
    typedef Word<T> F;
    using S = Simd<F>;
    const Grid& grid = mix.grid;
    const int64_t inputs = mix.inputs(), depth = mix.radii * mix.outputs, padded = P::padded(mix.outputs);
    Mix<F> back{grid, mix.vertices, mix.orders, mix.radii, 1, mix.outputs, {}, mix.polynomials, mix.weight};
    back.source[0] = {gradient_volume(mix, given, vertex), mix.outputs, 0};
    F* weights[2];
    for (int s = 0; s < mix.sources; ++s) {
        const size_t size = with_lanes<F>(mix.source[s].channels, [&](auto lanes) {
            return Panels<decltype(lanes)>::size(depth, mix.source[s].channels);
        });
        weights[s] = s ? scratch<F, 9>(size + SLACK) : scratch<F, 3>(size + SLACK);
        if (source[s]) combine(transposed[s], mix.polynomials + vertex * mix.orders, mix.orders, size, weights[s]);
    }
    const int64_t size = mix.radii * inputs * padded;
    F* products = scratch<F, 10>(size + SLACK);
    std::memset(products, 0, size * sizeof(F));
    const int64_t lines = lines_in_group(grid, depth, 128);
    NeighbourGroup<F> group(back, 0, lines);
    for (int64_t b = 0; b < grid.batch; ++b)
        for (int64_t x = 0; x < grid.x; ++x) {
            group.start(b, x);
            for (int64_t y = 0; y < grid.y; y += lines) {
                const int64_t here = std::min(lines, grid.y - y), rows = group.gather(y, here);
                const int64_t voxel = ((b * grid.x + x) * grid.y + y) * grid.z;
                int64_t first = 0;
                for (int s = 0; s < mix.sources; ++s) {
                    const int64_t c = mix.source[s].channels;
                    const F* given_rows = field_rows(mix.source[s], grid, vertex, b, x, y, here);
                    for (int r = 0; r < mix.radii; ++r) {
                        F* place = products + (r * inputs + first) * padded;
                        const F* sums = group.sums[0][r];
                        int64_t i = 0;
                        for (; i + MIX_ROWS <= c; i += MIX_ROWS)
                            add_products<P, MIX_ROWS>(given_rows + i, c, sums, mix.outputs, rows, place + i * padded);
                        for (; i + 4 <= c; i += 4)
                            add_products<P, 4>(given_rows + i, c, sums, mix.outputs, rows, place + i * padded);
                        for (; i < c; ++i)
                            add_products<P, 1>(given_rows + i, c, sums, mix.outputs, rows, place + i * padded);
                    }
                    first += c;
                    if (!source[s]) continue;
                    T* out = source[s] + (vertex * grid.voxels() + voxel) * c;
                    with_lanes<F>(c, [&](auto lanes) {
                        source_gradient<decltype(lanes)>(group, mix.radii, mix.outputs, c, weights[s], rows, out);
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
