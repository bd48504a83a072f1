// Vectors of the machine's width through GCC's and Clang's vector extensions: one source for AVX-512, AVX2 and NEON.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__AVX512F__)
#define SHD_VECTOR_BYTES 64
#define SHD_REGISTERS 32
#elif defined(__AVX__)
#define SHD_VECTOR_BYTES 32
#define SHD_REGISTERS 16
#else
#define SHD_VECTOR_BYTES 16
#if defined(__aarch64__)
#define SHD_REGISTERS 32
#else
#define SHD_REGISTERS 16
#endif
#endif

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define SHD_BFLOAT16 1
#include <immintrin.h>
#else
#define SHD_BFLOAT16 0
#endif

namespace shd {

template <class T, int BYTES = SHD_VECTOR_BYTES>
struct Simd {
    typedef T scalar;
    static constexpr int lanes = BYTES / sizeof(T);
    typedef T type __attribute__((vector_size(BYTES)));
    typedef T unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    static inline type load(const T* p) { return *reinterpret_cast<const unaligned*>(p); }
    static inline void store(T* p, type v) { *reinterpret_cast<unaligned*>(p) = v; }
    static inline type fill(T x) { return x - type{}; }
};

// Tiles of the matrix products: rows × vectors of accumulators, filling the registers.
constexpr int WIDE = SHD_REGISTERS == 32 ? 4 : 2;     // vectors in a row of the sphere's transform
constexpr int WIDE_ROWS = 6;                          // rows beside them
constexpr int MIX_ROWS = SHD_REGISTERS == 32 ? 12 : 6;  // rows of the channel mixing

// How the outputs of a channel mixing lie in vectors: few outputs would leave most of two whole vectors empty.
template <class SIMD, int COUNT>
struct Lanes {
    typedef SIMD S;
    typedef typename SIMD::scalar T;
    static constexpr int vectors = COUNT, width = COUNT * SIMD::lanes;
    static int64_t panels(int64_t outputs) { return (outputs + width - 1) / width; }
    static int64_t padded(int64_t outputs) { return panels(outputs) * width; }
};
template <class T>
using TwoVectors = Lanes<Simd<T>, 2>;
template <class T>
using OneVector = Lanes<Simd<T>, 1>;
template <class T>
using HalfVector = Lanes<Simd<T, SHD_VECTOR_BYTES == 64 ? 32 : SHD_VECTOR_BYTES>, 1>;

// A vector of which only `left` elements exist; the others read as zero and are not written.
template <class S>
inline typename S::type load_partial(const typename S::scalar* p, int64_t left) {
    if (left >= S::lanes) return S::load(p);
    typename S::type value = {};
    if (left > 0) std::memcpy(&value, p, left * sizeof(typename S::scalar));
    return value;
}

template <class S>
inline void store_partial(typename S::scalar* p, const typename S::type& value, int64_t left) {
    if (left >= S::lanes) {
        S::store(p, value);
    } else if (left > 0) {
        std::memcpy(p, &value, left * sizeof(typename S::scalar));
    }
}

// Sums of lanes until at most FOLDED remain: cheaper than one sum, and quick to add up later.
constexpr int FOLDED = 4;
template <class T, int BYTES>
inline auto folded(const typename Simd<T, BYTES>::type& value) {
    if constexpr (BYTES / static_cast<int>(sizeof(T)) <= FOLDED) {
        return value;
    } else {
        typename Simd<T, BYTES / 2>::type low, high;
        std::memcpy(&low, &value, BYTES / 2);
        std::memcpy(&high, reinterpret_cast<const char*>(&value) + BYTES / 2, BYTES / 2);
        return folded<T, BYTES / 2>(low + high);
    }
}

// Ask for memory before it is needed; an address nobody owns does no harm.
template <class T>
inline void prefetch(const T* p, int64_t count) {
    for (int64_t j = 0; j < count; j += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(p + j, 0, 2);
}
template <class T>
inline void prefetch_to_write(T* p, int64_t count) {
    for (int64_t j = 0; j < count; j += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(p + j, 1, 2);
}

constexpr int64_t SLACK = 64;  // elements beyond the end of a buffer that a whole vector may touch

// A buffer that a thread keeps from call to call: fresh memory would cost more than the arithmetic.
template <class T, int PURPOSE>
inline T* scratch(size_t count) {
    thread_local T* memory = nullptr;
    thread_local size_t held = 0;
    if (count > held) {
        std::free(memory);
        const size_t bytes = ((count + 64) * sizeof(T) + 4095) / 4096 * 4096;
        memory = static_cast<T*>(std::aligned_alloc(4096, bytes));
        held = memory ? count : 0;
        if (memory) std::memset(memory, 0, bytes);
    }
    return memory;
}

}  // namespace shd
