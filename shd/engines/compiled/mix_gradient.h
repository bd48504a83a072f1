// Gradients of the channel mixing. S_r is its own adjoint, so the neighbour sums of the gradient serve both: multiplied
// by the transposed weights they are the gradient of the input, and multiplied by the input that of the weights.
#pragma once
#include "mix.h"

namespace shd {

// ∂/∂out, ∂/∂ the statistics (all null where nothing depends on them), and `out` itself for those.
template <class T>
struct OutputGradient {
    const T *gradient, *output;                     // (eigenvector, voxel, outputs)
    const T *voxel_power, *channel_power, *channel_total, *mask, *modes;
};

// Rows of a field of one eigenvector, expanded where they are stored once for 2×2×2 voxels.
template <class T>
const T* field_rows(const Field<const T>& field, const Grid& grid, int64_t vertex, int64_t batch, int64_t x, int64_t y,
                    int64_t lines) {
    const int64_t count = grid.z * field.channels, c = field.channels;
    const T* volume = volume_of(field, grid, vertex);
    if (!field.halved) return volume + ((batch * grid.x + x) * grid.y + y) * count;
    T* rows = scratch<T, 7>(lines * count + SLACK);
    for (int64_t i = 0; i < lines; ++i) {
        const T* half = volume + ((batch * (grid.x / 2) + x / 2) * (grid.y / 2) + (y + i) / 2) * (count / 2);
        for (int64_t z = 0; z < grid.z; ++z) std::memcpy(rows + i * count + z * c, half + z / 2 * c, c * sizeof(T));
    }
    return rows;
}

// weight[i][:] += Σ_n rows[n][i]·sums[n][:], ROWS channels i of the input at a time.
template <class P, int ROWS>
inline void add_products(const typename P::T* rows, int64_t channels, const typename P::T* sums, int64_t outputs,
                         int64_t count, typename P::T* weight) {
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
    const int64_t voxels = mix.grid.voxels(), c = mix.outputs;
    T* whole = scratch<T, 8>(voxels * c + 2 * SLACK);
    const T* gradient = given.gradient + vertex * voxels * c;
    if (!given.voxel_power) {
        std::memcpy(whole, gradient, voxels * c * sizeof(T));
        return whole;
    }
    const T* output = given.output + vertex * voxels * c;
    const T mode = given.modes[vertex];
    for (int64_t n = 0; n < voxels; ++n) {
        const T power = 2 * given.voxel_power[n], inside = given.mask[n];
        for (int64_t o = 0; o < c; ++o)
            whole[n * c + o] = gradient[n * c + o] +
                               output[n * c + o] * (power + 2 * inside * given.channel_power[o]) +
                               mode * inside * given.channel_total[o];
    }
    return whole;
}

// The gradient of one source, for rows that have been gathered: `group` holds the sums of the output's gradient.
template <class P>
void source_gradient(const NeighbourGroup<typename P::T>& group, int64_t radii, int64_t outputs, int64_t channels,
                     const typename P::T* weights, int64_t rows, typename P::T* out) {
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

// How a source's channels lie in vectors as outputs of the transposed mixing.
template <class T, class FUNCTION>
inline auto with_lanes(int64_t outputs, FUNCTION function) {
    if (outputs <= HalfVector<T>::width) return function(HalfVector<T>());
    if (outputs <= OneVector<T>::width) return function(OneVector<T>());
    return function(TwoVectors<T>());
}

// source[s]: (eigenvector, voxel, channel) or null. weight: (order, radius, channel_in, padded outputs), added to.
template <class P>
void differentiate_vertex(const Mix<typename P::T>& mix, const OutputGradient<typename P::T>& given,
                          const typename P::T* const* transposed, int64_t vertex, typename P::T* const* source,
                          typename P::T* weight) {
    typedef typename P::T T;
    using S = Simd<T>;
    const Grid& grid = mix.grid;
    const int64_t inputs = mix.inputs(), depth = mix.radii * mix.outputs, padded = P::padded(mix.outputs);
    Mix<T> back = mix;
    back.sources = 1;
    back.source[0] = {gradient_volume(mix, given, vertex), mix.outputs, 0};
    T* weights[2];
    for (int s = 0; s < mix.sources; ++s) {
        const size_t size = with_lanes<T>(mix.source[s].channels, [&](auto lanes) {
            return Panels<decltype(lanes)>::size(depth, mix.source[s].channels);
        });
        weights[s] = s ? scratch<T, 9>(size + SLACK) : scratch<T, 3>(size + SLACK);
        if (source[s]) combine(transposed[s], mix.polynomials + vertex * mix.orders, mix.orders, size, weights[s]);
    }
    const int64_t size = mix.radii * inputs * padded;
    T* products = scratch<T, 10>(size + SLACK);
    std::memset(products, 0, size * sizeof(T));
    const int64_t lines = lines_in_group(grid, depth, 128);
    NeighbourGroup<T> group(back, 0, lines);
    for (int64_t b = 0; b < grid.batch; ++b)
        for (int64_t x = 0; x < grid.x; ++x) {
            group.start(b, x);
            for (int64_t y = 0; y < grid.y; y += lines) {
                const int64_t here = std::min(lines, grid.y - y), rows = group.gather(y, here);
                const int64_t voxel = ((b * grid.x + x) * grid.y + y) * grid.z;
                int64_t first = 0;
                for (int s = 0; s < mix.sources; ++s) {
                    const int64_t c = mix.source[s].channels;
                    const T* given_rows = field_rows(mix.source[s], grid, vertex, b, x, y, here);
                    for (int r = 0; r < mix.radii; ++r) {
                        T* place = products + (r * inputs + first) * padded;
                        const T* sums = group.sums[0][r];
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
                    with_lanes<T>(c, [&](auto lanes) {
                        source_gradient<decltype(lanes)>(group, mix.radii, mix.outputs, c, weights[s], rows, out);
                    });
                }
            }
        }
    for (int64_t k = 0; k < mix.orders; ++k) {
        const typename S::type factor = S::fill(mix.polynomials[vertex * mix.orders + k]);
        T* order = weight + k * size;
        int64_t j = 0;  // the next order follows at once: what is beyond `size` must stay
        for (; j + S::lanes <= size; j += S::lanes)
            S::store(order + j, S::load(order + j) + factor * S::load(products + j));
        for (; j < size; ++j) order[j] += factor[0] * products[j];
    }
}

}  // namespace shd
