// What Python calls: plain C names and arguments, see library.py.
#include <cstdlib>
#include <vector>

#include "estimate.h"
#include "mix_gradient.h"
#include "pool.h"
#include "sphere.h"

using namespace shd;

namespace {

template <class T>
Slab<T> slab_of(const T* data, int64_t stride, int64_t valid) {
    return {const_cast<T*>(data), stride, valid};
}

// Do `work(first, slab_of)` for all slabs of `columns` columns; slab_of(array) is the slab of an array (row, column).
template <class T, class WORK>
void for_slabs(int64_t columns, int threads, WORK work) {
    constexpr int64_t W = Slab<T>::width;
    const int64_t slabs = (columns + W - 1) / W;
    const int64_t part = std::max<int64_t>(1, slabs / (4 * threads));  // neighbours: each asks for the next one's memory
#pragma omp parallel for schedule(dynamic, part) num_threads(threads)
    for (int64_t slab = 0; slab < slabs; ++slab) {
        const int64_t first = slab * W, valid = std::min(W, columns - first);
        work(first, [=](auto* array) { return slab_of(array + first, columns, valid); });
    }
}

// mask, modes null: no statistics.
template <class P>
void mix_all(const Mix<typename P::T>& mix, typename P::T* out, const typename P::F* mask, const typename P::F* modes,
             double* voxel_power, double* channel_power, double* channel_total, int threads) {
    typedef typename P::F F;
    const int64_t voxels = mix.grid.voxels();
    std::vector<F> packed(mix.orders * Panels<P>::size(mix.depth(), mix.outputs) + SLACK);
    Panels<P>::pack(mix, packed.data(), threads);
    std::vector<F> power(mask ? threads * voxels * FOLDED : 0);
    std::vector<double> channels(mask ? threads * 2 * mix.outputs : 0);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int thread = 0; thread < threads; ++thread) {
        double* own = channels.data() + thread * 2 * mix.outputs;
        const Statistics<F> statistics{mask, power.data() + thread * voxels * FOLDED, own, own + mix.outputs};
        for (int64_t v = mix.vertices * thread / threads; v < mix.vertices * (thread + 1) / threads; ++v)
            mix_vertex<P>(mix, packed.data(), v, out + v * voxels * mix.outputs, mask ? &statistics : nullptr,
                          mask ? modes[v] : F(0));
    }
    for (int thread = 0; mask && thread < threads; ++thread) {
        const F* own = power.data() + thread * voxels * FOLDED;
        for (int64_t n = 0; n < voxels; ++n)
            for (int i = 0; i < FOLDED; ++i) voxel_power[n] += own[n * FOLDED + i];
        for (int64_t c = 0; c < mix.outputs; ++c) {
            channel_power[c] += channels[thread * 2 * mix.outputs + c];
            channel_total[c] += channels[(thread * 2 + 1) * mix.outputs + c];
        }
    }
}

// source[s] may be null: its gradient is not wanted. weight: (order, radius, channel_in, channel_out).
template <class P>
void differentiate(const Mix<typename P::T>& mix, const OutputGradient<typename P::T>& given,
                   typename P::T* const* source, typename P::F* weight, int threads) {
    typedef typename P::T T;
    typedef typename P::F F;
    const int64_t depth = mix.radii * whole_words<T>(mix.outputs), padded = P::padded(mix.outputs);
    std::vector<F> packed[2];
    const F* transposed[2] = {};
    for (int64_t s = 0, first = 0; s < mix.sources; first += mix.source[s++].channels) {
        const int64_t channels = mix.source[s].channels;
        with_lanes<T>(channels, [&](auto lanes) {
            using Q = Panels<decltype(lanes)>;
            packed[s].resize(mix.orders * Q::size(depth, channels) + SLACK);
            Q::pack_transposed(mix, first, channels, packed[s].data(), threads);
        });
        transposed[s] = packed[s].data();
    }
    const int64_t rows = mix.orders * mix.radii * mix.inputs();
    std::vector<F> partial(threads * rows * padded);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int thread = 0; thread < threads; ++thread)
        for (int64_t v = mix.vertices * thread / threads; v < mix.vertices * (thread + 1) / threads; ++v)
            differentiate_vertex<P>(mix, given, transposed, v, source, partial.data() + thread * rows * padded);
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t o = 0; o < mix.outputs; ++o) {
            F sum = 0;
            for (int thread = 0; thread < threads; ++thread) sum += partial[(thread * rows + row) * padded + o];
            weight[row * mix.outputs + o] = sum;
        }
}

template <class T>
void pool(const Pooling<T>& pooling, const T* fine, T* coarse, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t plane = 0; plane < pooling.planes(); ++plane) pool_plane<T>(pooling, fine, coarse, plane);
}

template <class T>
void spread(const Pooling<T>& pooling, const T* coarse, T* fine, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t plane = 0; plane < pooling.planes(); ++plane) spread_plane<T>(pooling, coarse, fine, plane);
}

// Do `work(block, voxels)` for blocks of the voxels from `first` to `end`, whose signals those given are, and write their
// states into `states`.
template <class F, class WORK>
void for_blocks(const Iteration<F>& it, const F* signal, int64_t first, int64_t end, F* states, int threads, WORK work) {
#pragma omp parallel num_threads(threads)
    {
        Block<F> block(it);
#pragma omp for schedule(dynamic, 8)
        for (int64_t start = first; start < end; start += ESTIMATE_ROWS) {
            int64_t voxel[ESTIMATE_ROWS];
            for (int i = 0; i < ESTIMATE_ROWS; ++i) voxel[i] = std::min(start + i, end - 1);
            Block<F>::read(signal - first * it.volumes, it.volumes, voxel, block.signal);
            work(block, voxel);
            for (int64_t i = 0; i < std::min<int64_t>(ESTIMATE_ROWS, end - start); ++i)
                std::copy_n(block.state + i * block.unknowns, it.unknowns, states + voxel[i] * it.unknowns);
        }
    }
}

}  // namespace

// Fields are stored as V, their representations as T.
#define SHD_EXPORT_TRANSFORMS(V, T, NAME)                                                                             \
    extern "C" void shd_analyse_##NAME(const Plan<T>* plan, const V* x, T* out, int64_t columns, int threads) {       \
        for_slabs<T>(columns, threads, [=](int64_t, auto of) { analyse_slab(*plan, of(x), of(out)); });               \
    }                                                                                                                 \
    extern "C" void shd_synthesise_##NAME(const Plan<T>* plan, const T* z, V* out, int64_t columns, int threads) {    \
        typedef Columns<Word<T>> C;                                                                                   \
        for_slabs<T>(columns, threads, [=](int64_t, auto of) {                                                        \
            synthesise_slab(*plan, of(z), of(out), C::filled(1), C::filled(0), false);                                \
        });                                                                                                           \
    }

#define SHD_EXPORT(T, NAME)                                                                                           \
    extern "C" void shd_activate_##NAME(const Plan<T>* plan, const Activation<Word<T>>* activation, const T* z,       \
                                        Word<T>* out, int64_t columns, int threads) {                                 \
        typedef Columns<Word<T>> C;                                                                                   \
        for_slabs<T>(columns, threads, [=](int64_t first, auto of) {                                                  \
            const auto slab = of(z);                                                                                  \
            synthesise_slab(*plan, slab, of(out), C::read(activation->scale + first, slab.valid),                     \
                            C::read(activation->shift + first, slab.valid), true);                                    \
        });                                                                                                           \
    }                                                                                                                 \
    extern "C" void shd_activate_gradient_##NAME(const Plan<T>* plan, const Activation<Word<T>>* activation,          \
                                                 const T* z, const Word<T>* given, T* out, int64_t columns,           \
                                                 int threads) {                                                       \
        for_slabs<T>(columns, threads, [=](int64_t first, auto of) {                                                  \
            activation_gradient_slab(*plan, *activation, of(z), of(given), of(out), first);                           \
        });                                                                                                           \
    }                                                                                                                 \
    extern "C" void shd_turn_##NAME(const Plan<T>* plan, const Activation<Word<T>>* activation, const T* z, T* out,   \
                                    int64_t columns, int threads) {                                                   \
        for_slabs<T>(columns, threads,                                                                                \
                     [=](int64_t first, auto of) { turn_slab(*plan, *activation, of(z), of(out), first); });          \
    }                                                                                                                 \
    extern "C" void shd_turn_gradient_##NAME(const Plan<T>* plan, const Activation<Word<T>>* activation, const T* z,  \
                                             const T* given, T* out, int64_t columns, int threads) {                  \
        for_slabs<T>(columns, threads, [=](int64_t first, auto of) {                                                  \
            turn_gradient_slab(*plan, *activation, of(z), of(given), of(out), first);                                 \
        });                                                                                                           \
    }                                                                                                                 \
    extern "C" void shd_mix_##NAME(const Mix<T>* mix, T* out, const Word<T>* mask, const Word<T>* modes,              \
                                   double* voxel_power, double* channel_power, double* channel_total, int threads) {  \
        with_lanes<T>(mix->outputs, [&](auto lanes) {                                                                 \
            mix_all<decltype(lanes)>(*mix, out, mask, modes, voxel_power, channel_power, channel_total, threads);     \
        });                                                                                                           \
    }                                                                                                                 \
    extern "C" void shd_mix_gradient_##NAME(const Mix<T>* mix, const OutputGradient<T>* given, T* const* source,      \
                                            Word<T>* weight, int threads) {                                           \
        with_lanes<T>(mix->outputs,                                                                                   \
                      [&](auto lanes) { differentiate<decltype(lanes)>(*mix, *given, source, weight, threads); });    \
    }                                                                                                                 \
    extern "C" void shd_pool_##NAME(const Pooling<T>* pooling, const T* fine, T* coarse, int threads) {               \
        pool<T>(*pooling, fine, coarse, threads);                                                                     \
    }                                                                                                                 \
    extern "C" void shd_spread_##NAME(const Pooling<T>* pooling, const T* coarse, T* fine, int threads) {             \
        spread<T>(*pooling, coarse, fine, threads);                                                                   \
    }

SHD_EXPORT_TRANSFORMS(float, float, float32_float32)
SHD_EXPORT_TRANSFORMS(double, double, float64_float64)
SHD_EXPORT(float, float32)
SHD_EXPORT(double, float64)
#if SHD_BFLOAT16
SHD_EXPORT_TRANSFORMS(float, bfloat16, float32_bfloat16)
SHD_EXPORT_TRANSFORMS(bfloat16, bfloat16, bfloat16_bfloat16)
SHD_EXPORT(bfloat16, bfloat16)
#endif

// signal: of the voxels from `first` to `end` alone; the other arrays are of all voxels.
extern "C" void shd_estimate_alone_float32(const Iteration<float>* it, const float* signal, float* states, int64_t first,
                                           int64_t end, int threads) {
    const IterationPanels<float> panels(*it);
    for_blocks(*it, signal, first, end, states, threads,
               [&](Block<float>& block, const int64_t*) { estimate_alone(*it, panels, block); });
}

extern "C" void shd_estimate_round_float32(const Iteration<float>* it, const Round<float>* round, const float* signal,
                                           const float* noise, const float* before, float* states, int64_t first,
                                           int64_t end, int threads) {
    const IterationPanels<float> panels(*it);
    const RoundPanels<float> more(*it, *round);
    for_blocks(*it, signal, first, end, states, threads, [&](Block<float>& block, const int64_t* voxel) {
        estimate_round(*it, panels, *round, more, before, noise, voxel, block);
    });
}
