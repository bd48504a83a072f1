// Vectors of the machine's width through GCC's and Clang's vector extensions: one source for AVX-512, AVX2 and NEON.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>

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

#if defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__BMI2__)
#define SHD_MASKS 1
#include <immintrin.h>
#else
#define SHD_MASKS 0
#endif
#if SHD_MASKS && defined(__AVX512BF16__)
#define SHD_BFLOAT16 1
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

// The upper half of a float32, to be stored only: what it is computed with is float32.
struct bfloat16 {
    uint16_t bits;
};

// How numbers are computed with that are stored as T. Products take `packed` of them from each operand at a time, side by
// side in a word as wide as the result.
template <class T>
struct Stored {
    typedef T word;
    static constexpr int packed = 1;
};
template <>
struct Stored<bfloat16> {
    typedef float word;
    static constexpr int packed = 2;
};
template <class T>
using Word = typename Stored<T>::word;
template <class T>
constexpr int64_t whole_words(int64_t count) {
    return (count + Stored<T>::packed - 1) / Stored<T>::packed;
}
template <class T>
inline const Word<T>* words(const T* p) {
    return reinterpret_cast<const Word<T>*>(p);
}

// A vector read from numbers of its own kind, or from bfloat16.
template <class S>
inline typename S::type get(const typename S::scalar* p) {
    return S::load(p);
}
template <class S>
inline void put(typename S::scalar* p, const typename S::type& value) {
    S::store(p, value);
}

#if SHD_BFLOAT16
inline __m512 widened(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline __m256 widened(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline __m256i rounded(__m512 value) { return (__m256i)_mm512_cvtneps_pbh(value); }
inline __m128i rounded(__m256 value) { return (__m128i)_mm256_cvtneps_pbh(value); }

template <class S>
inline typename S::type get(const bfloat16* p) {
    if constexpr (S::lanes == 16) {
        return (typename S::type)widened(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p)));
    } else {
        return (typename S::type)widened(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p)));
    }
}
template <class S>
inline void put(bfloat16* p, const typename S::type& value) {
    const auto bits = rounded(value);
    std::memcpy(p, &bits, sizeof(bits));
}

// Write one half of each word: 0 the lower one.
inline void put_half(float* p, int half, const Simd<float>::type& value) {
    const __m512i bits = _mm512_cvtepu16_epi32(rounded(value));
    _mm512_mask_storeu_epi16(p, half ? 0xAAAAAAAA : 0x55555555, half ? _mm512_slli_epi32(bits, 16) : bits);
}

// Words of the numbers of two rows side by side.
inline void put_pairs(float* p, const bfloat16* even, const bfloat16* odd) {
    __m256i low, high;
    std::memcpy(&low, even, sizeof(low));
    std::memcpy(&high, odd, sizeof(high));
    const __m512i shifted = _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
    _mm512_storeu_si512(p, _mm512_or_si512(_mm512_cvtepu16_epi32(low), shifted));
}
#endif

// sum + a·b, where a and b hold words of T.
template <class T, class V>
inline V add_product(const V& sum, const V& a, const V& b) {
#if SHD_BFLOAT16
    if constexpr (Stored<T>::packed == 2) {
        if constexpr (sizeof(V) == 64) {
            return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
        } else {
            return (V)_mm256_dpbf16_ps((__m256)sum, (__m256bh)a, (__m256bh)b);
        }
    }
#endif
    return sum + a * b;
}

// Tiles of the matrix products: rows × vectors of accumulators, filling the registers.
constexpr int WIDE = SHD_REGISTERS == 32 ? 4 : 2;     // vectors in a row of the sphere's transform
constexpr int WIDE_ROWS = 6;                          // rows beside them
constexpr int MIX_ROWS = SHD_REGISTERS == 32 ? 12 : 6;  // rows of the channel mixing
constexpr int ESTIMATE_ROWS = SHD_REGISTERS == 32 ? 8 : 4;  // voxels of an estimate
constexpr int ESTIMATE_WIDE = 3;                            // vectors of unknowns beside them

// How the outputs of a channel mixing, stored as T, lie in vectors: few would leave most of two whole vectors empty.
template <class STORED, class SIMD, int COUNT>
struct Lanes {
    typedef SIMD S;
    typedef STORED T;
    typedef typename SIMD::scalar F;
    static constexpr int vectors = COUNT, width = COUNT * SIMD::lanes;
    static int64_t panels(int64_t outputs) { return (outputs + width - 1) / width; }
    static int64_t padded(int64_t outputs) { return panels(outputs) * width; }
};
template <class T>
using TwoVectors = Lanes<T, Simd<Word<T>>, 2>;
template <class T>
using OneVector = Lanes<T, Simd<Word<T>>, 1>;
template <class T>
using HalfVector = Lanes<T, Simd<Word<T>, SHD_VECTOR_BYTES == 64 ? 32 : SHD_VECTOR_BYTES>, 1>;

template <class T, class FUNCTION>
inline auto with_lanes(int64_t outputs, FUNCTION function) {
    if (outputs <= HalfVector<T>::width) return function(HalfVector<T>());
    if (outputs <= OneVector<T>::width) return function(OneVector<T>());
    return function(TwoVectors<T>());
}

// Copy `count` ≤ COUNT numbers between memory and a whole array, which is a vector in disguise.
template <class T, int COUNT>
inline void load_some(T (&whole)[COUNT], const T* p, int64_t count) {
#if SHD_MASKS
    const auto mask = _bzhi_u64(~0ull, static_cast<unsigned>(count * sizeof(T)));
    if constexpr (sizeof(whole) == 64) {
        _mm512_storeu_si512(whole, _mm512_maskz_loadu_epi8(mask, p));
    } else if constexpr (sizeof(whole) == 32) {
        _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(whole), _mm256_maskz_loadu_epi8(mask, p));
    } else {
        _mm_storeu_si128(reinterpret_cast<__m128i_u*>(whole), _mm_maskz_loadu_epi8(mask, p));
    }
#else
    std::memset(whole, 0, sizeof(whole));
    std::memcpy(whole, p, count * sizeof(T));
#endif
}
template <class T, int COUNT>
inline void store_some(T* p, const T (&whole)[COUNT], int64_t count) {
#if SHD_MASKS
    const auto mask = _bzhi_u64(~0ull, static_cast<unsigned>(count * sizeof(T)));
    if constexpr (sizeof(whole) == 64) {
        _mm512_mask_storeu_epi8(p, mask, _mm512_loadu_si512(whole));
    } else if constexpr (sizeof(whole) == 32) {
        _mm256_mask_storeu_epi8(p, mask, _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(whole)));
    } else {
        _mm_mask_storeu_epi8(p, mask, _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(whole)));
    }
#else
    std::memcpy(p, whole, count * sizeof(T));
#endif
}

// A vector of which only `left` elements exist; the others read as zero and are not written.
template <class S, class T>
inline typename S::type load_partial(const T* p, int64_t left) {
    if (left >= S::lanes) return get<S>(p);
    if (left <= 0) return typename S::type{};
    T some[S::lanes];
    load_some(some, p, left);
    return get<S>(some);
}

template <class S, class T>
inline void store_partial(T* p, const typename S::type& value, int64_t left) {
    if (left >= S::lanes) {
        put<S>(p, value);
    } else if (left > 0) {
        T some[S::lanes];
        put<S>(some, value);
        store_some(p, some, left);
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
    for (int64_t j = 0; j < count; j += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(p + j, 1, 3);
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
