// What is mixed: fields of one eigenvector's volume after the other, and the sums over a voxel's neighbours.
#pragma once
#include <algorithm>
#include <cstdlib>

#include "vectors.h"

namespace shd {

// A field of `channels` per voxel on the grid (batch, x, y, z); `halved`: it is stored once for each 2×2×2 voxels.
template <class T>
struct Field {
    const T* data;  // (eigenvector, batch, x, y, z, channel)
    int64_t channels, halved;
    // Channels in whole words, as rows of sums have them: those beyond `channels` are zero.
    int64_t stride() const { return whole_words<T>(channels) * Stored<T>::packed; }
};

struct Grid {
    int64_t batch, x, y, z;
    int64_t voxels() const { return batch * x * y * z; }
};

template <class T>
struct Mix {
    Grid grid;
    int64_t vertices, orders, radii, sources, outputs;
    Field<T> source[2];
    const Word<T>* polynomials;  // (vertex, order)
    const Word<T>* weight;       // (order, radius, channel_in, channel_out), channels of the first source leading
    int64_t inputs() const { return source[0].channels + (sources > 1 ? source[1].channels : 0); }
    // Terms of a product, in words.
    int64_t depth() const {
        return radii * (source[0].stride() + (sources > 1 ? source[1].stride() : 0)) / Stored<T>::packed;
    }
};

template <class T>
inline const T* volume_of(const Field<T>& field, const Grid& grid, int64_t vertex) {
    return field.data + vertex * (grid.voxels() / (field.halved ? 8 : 1)) * field.channels;
}

// Copy a line of one eigenvector's volume, voxels `stride` apart.
template <class T, class V>
void expand_line(const Field<T>& field, const Grid& grid, const T* volume, int64_t batch, int64_t x, int64_t y,
                 int64_t stride, V* line) {
    using S = Simd<Word<T>>;
    const int64_t c = field.channels, side = field.halved ? 2 : 1;
    const T* from = volume + ((batch * (grid.x / side) + x / side) * (grid.y / side) + y / side) * (grid.z / side) * c;
    for (int64_t z = 0; z < grid.z; ++z)
        for (int64_t j = 0; j < c; j += S::lanes)
            store_partial<S>(line + z * stride + j, load_partial<S>(from + z / side * c + j, c - j), c - j);
}

// Sums over the neighbours at each of the four distances, line by line of the volume of one eigenvector; what lies
// outside the volume counts as zero. Lines of a field that is stored once for 2×2×2 voxels are copied only when the sums
// are written: of its neighbours along x and y a voxel has one or two lines more than once.
template <class T>
class NeighbourLines {
    typedef Word<T> F;

  public:
    NeighbourLines(const Field<T>& field, const Grid& grid, int radii, T* zeros, F* sums)
        : field(field), grid(grid), radii(radii), length(field.halved ? grid.z / 2 : grid.z),
          count(length * field.channels), outside(zeros) {
        std::memset(zeros, 0, count * sizeof(T));
        for (int i = 0; i < SUMS; ++i) beside[i] = sums + i * (count + SLACK);
    }
    static constexpr int SUMS = 3;
    // Whether the sums over a distance of zero are the field itself, which then need not be copied.
    bool direct() const { return !field.halved && field.stride() == field.channels; }
    const T* centre(int64_t y) const { return read(at_x, y); }

    void start(const T* volume_data, int64_t batch, int64_t x) {
        volume = volume_data;
        at_batch = batch;
        at_x = x;
        if (radii > 1) {
            prepare(-1);
            prepare(0);
        }
    }
    // Write the sums of line y to out[r], r ≥ 1 where `direct`; lines must be asked for in order. Up to SLACK elements
    // beyond a line are overwritten.
    void line(int64_t y, T* const* out) {
        if (radii == 1) {
            if (!direct()) expand_line(field, grid, volume, at_batch, at_x, y, field.stride(), out[0]);
            return;
        }
        prepare(y + 1);
        if (field.channels <= Simd<F>::lanes / 2 && sizeof(F) == 4 && SHD_VECTOR_BYTES == 64) {
            write_line<Simd<F, 32>>(y, out);
        } else {
            write_line<Simd<F>>(y, out);
        }
    }

  private:
    const Field<T>& field;
    const Grid& grid;
    int radii;
    int64_t length, count, at_batch = 0, at_x = 0;  // voxels and elements of a line in memory
    const T* volume = nullptr;
    const T* outside;
    F* beside[SUMS];  // sums of the lines beside the plane, y of which is in place (y + 3) % 3

    const T* read(int64_t x, int64_t y) const {
        if (x < 0 || y < 0 || x >= grid.x || y >= grid.y) return outside;
        const int shift = field.halved ? 1 : 0;
        return volume + ((at_batch * (grid.x >> shift) + (x >> shift)) * (grid.y >> shift) + (y >> shift)) * count;
    }
    void prepare(int64_t y) {
        using S = Simd<F>;
        prefetch(read(at_x, y) + 2 * grid.y * count, count);  // volumes follow each other in memory
        const T *before = read(at_x - 1, y), *after = read(at_x + 1, y);
        F* sum = beside[(y + 3) % 3];
        for (int64_t j = 0; j < count; j += S::lanes)
            S::store(sum + j, load_partial<S>(before + j, count - j) + load_partial<S>(after + j, count - j));
    }

    // Of one voxel: itself, the sums over its neighbours in the plane across the line, at distances 1 and √2.
    template <class S>
    struct Across {
        typename S::type self, faces, edges;
    };
    template <class S>
    struct Lines {
        const T *before, *here, *after;  // in the plane
        const F *before_beside, *beside, *after_beside;
        // Of the voxel at element j; unless WHOLE, `left` numbers of it exist.
        template <bool WHOLE>
        inline __attribute__((always_inline)) Across<S> at(int64_t j, int64_t left) const {
            const auto load = [=](const auto* line) __attribute__((always_inline)) {
                return WHOLE ? get<S>(line + j) : load_partial<S>(line + j, left);
            };
            return {load(here), load(before) + load(after) + load(beside), load(before_beside) + load(after_beside)};
        }
    };
    template <class S>
    void write_line(int64_t y, T* const* out) const {
        const Lines<S> lines{read(at_x, y - 1),      read(at_x, y),     read(at_x, y + 1),
                             beside[(y + 2) % 3], beside[y % 3], beside[(y + 1) % 3]};
        const int64_t c = field.channels, whole = c / S::lanes * S::lanes;
        const auto write = [&](auto is_whole, int64_t j) {
            constexpr bool WHOLE = decltype(is_whole)::value;
            return field.halved ? write_channels<S, WHOLE, true>(lines, j, out)
                                : write_channels<S, WHOLE, false>(lines, j, out);
        };
        // whole vectors are written: what goes beyond the channels is then written over by the first ones
        if (whole < c) write(std::false_type(), whole);
        for (int64_t j = 0; j < whole; j += S::lanes) write(std::true_type(), j);
    }
    // The channels from j on of a whole line.
    template <class S, bool WHOLE, bool HALVED>
    void write_channels(const Lines<S> lines, int64_t j, T* const* out) const {
        const int64_t c = field.channels, stride = field.stride(), last = length - 1, end = count;
        const bool copied = !direct();
        T *const self = out[0], *const one = out[1], *const two = out[2], *const three = out[3];
        // Beyond the channels are the next voxel's, up to the end of the line; where those would be multiplied, zeros.
        const auto left_at = [=](int64_t z) { return stride > c ? c - j : end - z * c - j; };
        const auto write = [=](const Across<S>& left, const Across<S>& here, const Across<S>& right,
                               int64_t at) __attribute__((always_inline)) {
            if (copied) put<S>(self + at, here.self);
            put<S>(one + at, here.faces + left.self + right.self);
            put<S>(two + at, here.edges + left.faces + right.faces);
            put<S>(three + at, left.edges + right.edges);
        };
        Across<S> left = {}, here = lines.template at<WHOLE>(j, left_at(0));
        for (int64_t z = 0; z <= last; ++z) {
            Across<S> right = {};
            if (z < last) right = lines.template at<WHOLE>((z + 1) * c + j, left_at(z + 1));
            if (HALVED) {
                write(left, here, here, 2 * z * stride + j);
                write(here, here, right, (2 * z + 1) * stride + j);
            } else {
                write(left, here, right, z * stride + j);
            }
            left = here;
            here = right;
        }
    }
};

// Lines of a group: the largest number whose sums stay in the second-level cache beside the weights.
inline int64_t lines_in_group(const Grid& grid, int64_t depth, int64_t target_rows) {
    const int64_t rows = std::max<int64_t>(MIX_ROWS, std::min<int64_t>(target_rows, 65536 / std::max<int64_t>(depth, 1)));
    return std::max<int64_t>(1, std::min(grid.y, rows / std::max<int64_t>(grid.z, 1)));
}

// The neighbour sums of a group of lines, of every source, ready to be multiplied.
template <class T>
class NeighbourGroup {
  public:
    const T* sums[2][4];  // (row, channel) each

    NeighbourGroup(const Mix<T>& mix, int64_t vertex, int64_t lines)
        : mix(mix), vertex(vertex),
          first(mix.source[0], mix.grid, mix.radii, stored_lines<5>(0), wide_lines<15>(0)),
          second(mix.source[mix.sources - 1], mix.grid, mix.radii, stored_lines<6>(1), wide_lines<16>(1)) {
        const int64_t rows = lines * mix.grid.z + MIX_ROWS;
        T* free_space = scratch<T, 4>(rows * mix.depth() * Stored<T>::packed + mix.radii * SLACK * mix.sources);
        for (int s = 0; s < mix.sources; ++s)
            for (int r = 0; r < mix.radii; ++r) {
                sums[s][r] = place[s][r] = free_space;
                free_space += rows * mix.source[s].stride() + SLACK;
            }
    }
    void start(int64_t batch, int64_t x) {
        first.start(volume_of(mix.source[0], mix.grid, vertex), batch, x);
        if (mix.sources > 1) second.start(volume_of(mix.source[1], mix.grid, vertex), batch, x);
    }
    // Gather `lines` lines from y on; return how many rows that makes.
    int64_t gather(int64_t y, int64_t lines) {
        const int64_t rows = lines * mix.grid.z;
        for (int s = 0; s < mix.sources; ++s) {
            NeighbourLines<T>& source = s ? second : first;
            const int64_t c = mix.source[s].stride();
            for (int64_t i = 0; i < lines; ++i) {
                T* target[4];
                for (int r = 0; r < mix.radii; ++r) target[r] = place[s][r] + i * mix.grid.z * c;
                source.line(y + i, target);
            }
            if (!source.direct()) continue;
            sums[s][0] = source.centre(y);
            // products take whole tiles of rows: the last ones must not be read beyond the end of the field
            if (const int64_t beyond = rows % MIX_ROWS)
                std::memcpy(place[s][0], sums[s][0] + (rows - beyond) * c, beyond * c * sizeof(T));
        }
        return rows;
    }
    // The sums at one distance from `row` on, MIX_ROWS of which may be read.
    const T* from(int source, int radius, int64_t row, int64_t rows) const {
        const int64_t c = mix.source[source].stride(), whole = rows - rows % MIX_ROWS;
        if (row >= whole && sums[source][radius] != place[source][radius])
            return place[source][radius] + (row - whole) * c;
        return sums[source][radius] + row * c;
    }

  private:
    const Mix<T>& mix;
    int64_t vertex;
    T* place[2][4];
    NeighbourLines<T> first, second;
    size_t line_memory(int source) const {
        return mix.grid.z * mix.source[std::min<int64_t>(source, mix.sources - 1)].stride() + SLACK;
    }
    template <int PURPOSE>
    T* stored_lines(int source) const {
        return scratch<T, PURPOSE>(line_memory(source));
    }
    template <int PURPOSE>
    Word<T>* wide_lines(int source) const {
        return scratch<Word<T>, PURPOSE>(NeighbourLines<T>::SUMS * line_memory(source));
    }
};

}  // namespace shd
