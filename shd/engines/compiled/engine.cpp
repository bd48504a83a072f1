// What Python calls: plain C names and arguments, see library.py.
#include <cstdlib>
#include <vector>

#include "mix_gradient.h"
#include "sphere.h"

using namespace shd;

namespace {

// Slabs a thread takes at a time: neighbours, since each fetches for the next.
inline int64_t chunk(int64_t slabs, int threads) { return std::max<int64_t>(1, slabs / (4 * threads)); }

template <class T>
void analyse(const Plan<T>& plan, const T* x, T* out, int64_t columns, const Gate<T>* gate, int threads) {
    const int64_t slabs = (columns + Slab<T>::width - 1) / Slab<T>::width, part = chunk(slabs, threads);
#pragma omp parallel for schedule(dynamic, part) num_threads(threads)
    for (int64_t slab = 0; slab < slabs; ++slab) analyse_slab<T>(plan, x, out, columns, slab * Slab<T>::width, gate);
}

template <class T>
void synthesise(const Plan<T>& plan, const T* z, T* out, int64_t columns, const T* scale, const T* shift, bool rectify,
                int threads) {
    const int64_t slabs = (columns + Slab<T>::width - 1) / Slab<T>::width, part = chunk(slabs, threads);
#pragma omp parallel for schedule(dynamic, part) num_threads(threads)
    for (int64_t slab = 0; slab < slabs; ++slab)
        synthesise_slab<T>(plan, z, out, columns, slab * Slab<T>::width, scale, shift, rectify);
}

// mask, modes null: no statistics.
template <class T>
void mix_all(const Mix<T>& mix, T* out, const T* mask, const T* modes, double* voxel_power, double* channel_power,
             double* channel_total, int threads) {
    const int64_t voxels = mix.grid.voxels(), depth = mix.radii * mix.inputs();
    std::vector<T> packed(mix.orders * Panels<T>::size(depth, mix.outputs) + SLACK);
    Panels<T>::pack(mix.weight, mix.orders, mix.radii, mix.inputs(), mix.outputs, packed.data());
    std::vector<double> partial(mask ? threads * (voxels + 2 * mix.outputs) : 0);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int thread = 0; thread < threads; ++thread) {
        double* own = partial.data() + thread * (voxels + 2 * mix.outputs);
        const Statistics<T> statistics{mask, own, own + voxels, own + voxels + mix.outputs};
        for (int64_t v = mix.vertices * thread / threads; v < mix.vertices * (thread + 1) / threads; ++v)
            mix_vertex<T>(mix, packed.data(), v, out + v * voxels * mix.outputs, mask ? &statistics : nullptr,
                          mask ? modes[v] : T(0));
    }
    for (int thread = 0; mask && thread < threads; ++thread) {
        const double* own = partial.data() + thread * (voxels + 2 * mix.outputs);
        for (int64_t n = 0; n < voxels; ++n) voxel_power[n] += own[n];
        for (int64_t c = 0; c < mix.outputs; ++c) {
            channel_power[c] += own[voxels + c];
            channel_total[c] += own[voxels + mix.outputs + c];
        }
    }
}

// source[s] may be null: its gradient is not wanted. weight: (order, radius, channel_in, channel_out).
template <class T>
void differentiate(const Mix<T>& mix, const OutputGradient<T>& given, T* const* source, T* weight, int threads) {
    const int64_t inputs = mix.inputs(), depth = mix.radii * mix.outputs, padded = padded_outputs<T>(mix.outputs);
    std::vector<T> packed[2];
    const T* transposed[2] = {};
    int64_t first = 0;
    for (int s = 0; s < mix.sources; ++s) {
        packed[s].resize(mix.orders * Panels<T>::size(depth, mix.source[s].channels) + SLACK);
        Panels<T>::pack_transposed(mix.weight, mix.orders, mix.radii, inputs, mix.outputs, first,
                                   mix.source[s].channels, packed[s].data());
        transposed[s] = packed[s].data();
        first += mix.source[s].channels;
    }
    const int64_t rows = mix.orders * mix.radii * inputs;
    std::vector<T> partial(threads * rows * padded + SLACK);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int thread = 0; thread < threads; ++thread)
        for (int64_t v = mix.vertices * thread / threads; v < mix.vertices * (thread + 1) / threads; ++v)
            differentiate_vertex<T>(mix, given, transposed, v, source, partial.data() + thread * rows * padded);
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t o = 0; o < mix.outputs; ++o) {
            T sum = 0;
            for (int thread = 0; thread < threads; ++thread) sum += partial[(thread * rows + row) * padded + o];
            weight[row * mix.outputs + o] = sum;
        }
}

}  // namespace

#define SHD_EXPORT(T, NAME)                                                                                           \
    extern "C" void shd_analyse_##NAME(const Plan<T>* plan, const T* x, T* out, int64_t columns, const Gate<T>* gate, \
                                       int threads) {                                                                 \
        analyse<T>(*plan, x, out, columns, gate, threads);                                                            \
    }                                                                                                                 \
    extern "C" void shd_synthesise_##NAME(const Plan<T>* plan, const T* z, T* out, int64_t columns, const T* scale,   \
                                          const T* shift, int rectify, int threads) {                                 \
        synthesise<T>(*plan, z, out, columns, scale, shift, rectify != 0, threads);                                   \
    }                                                                                                                 \
    extern "C" void shd_mix_##NAME(const Mix<T>* mix, T* out, const T* mask, const T* modes, double* voxel_power,     \
                                   double* channel_power, double* channel_total, int threads) {                       \
        mix_all<T>(*mix, out, mask, modes, voxel_power, channel_power, channel_total, threads);                       \
    }                                                                                                                 \
    extern "C" void shd_mix_gradient_##NAME(const Mix<T>* mix, const OutputGradient<T>* given, T* const* source,      \
                                            T* weight, int threads) {                                                 \
        differentiate<T>(*mix, *given, source, weight, threads);                                                      \
    }

SHD_EXPORT(float, float32)
SHD_EXPORT(double, float64)
