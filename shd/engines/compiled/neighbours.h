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
// outside the volume counts as zero.
template <class T>
class NeighbourLines {
    typedef Word<T> F;
    using S = Simd<F>;

  public:
    NeighbourLines(const Field<T>& field, const Grid& grid, int radii, T* stored, F* wide)
        : field(field), grid(grid), radii(radii), count(grid.z * field.stride()) {
        for (int i = 0; i < LINES; ++i) line_buffer[i] = stored + i * (count + SLACK);
        for (int i = 0; i < SUMS; ++i) sum_buffer[i] = wide + i * (count + SLACK);
    }
    static constexpr int LINES = 5, SUMS = 5;  // 3 lines and 2 beside them; 3 sums of those, 2 at work
    // Whether the sums over a distance of zero are the field itself, which then need not be copied.
    bool direct() const { return !field.halved && field.stride() == field.channels; }
    const T* centre(int64_t y) const { return line_of(at_x, y); }

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
        if (radii > 1) prepare(y + 1);
        if (!direct()) std::memcpy(out[0], radii > 1 ? plane[y % 3] : read(at_x, y, 3), count * sizeof(T));
        if (radii == 1) return;
        const T *p = plane[(y + 2) % 3], *q = plane[y % 3], *n = plane[(y + 1) % 3];
        const F *pp = sum_buffer[(y + 2) % 3], *qq = sum_buffer[y % 3], *nn = sum_buffer[(y + 1) % 3];
        F *faces = sum_buffer[3], *edges = sum_buffer[4];
        for (int64_t j = 0; j < count; j += S::lanes) {
            S::store(faces + j, load(p, j) + load(n, j) + S::load(qq + j));
            S::store(edges + j, S::load(pp + j) + S::load(nn + j));
        }
        const int64_t c = field.stride(), last = count - c;
        if (last == 0) return shifted<false, false>(out, q, faces, edges, 0, c);
        shifted<false, true>(out, q, faces, edges, 0, c);
        if (last > c) shifted<true, true>(out, q, faces, edges, c, last);
        shifted<true, false>(out, q, faces, edges, last, count);
    }

  private:
    const Field<T>& field;
    const Grid& grid;
    int radii;
    int64_t count, at_batch = 0, at_x = 0;
    const T* volume = nullptr;
    const T* plane[3] = {};  // three lines of the plane; `sum_buffer` has those of the sum of the planes beside it
    T* line_buffer[LINES];   // for lines that are not in memory as they are
    F* sum_buffer[SUMS];

    // A whole vector of a line of the volume, which may end at the end of memory.
    typename S::type load(const T* line, int64_t j) const { return load_partial<S>(line + j, count - j); }
    template <bool LEFT, bool RIGHT>
    void shifted(T* const* out, const T* q, const F* faces, const F* edges, int64_t from, int64_t to) const {
        const int64_t c = field.stride();
        for (int64_t j = from; j < to; j += S::lanes) {
            typename S::type one = S::load(faces + j), two = S::load(edges + j), three = {};
            if (LEFT) {
                one += load(q, j - c);
                two += S::load(faces + j - c);
                three += S::load(edges + j - c);
            }
            if (RIGHT) {
                one += load(q, j + c);
                two += S::load(faces + j + c);
                three += S::load(edges + j + c);
            }
            put<S>(out[1] + j, one);
            put<S>(out[2] + j, two);
            put<S>(out[3] + j, three);
        }
    }
    const T* line_of(int64_t x, int64_t y) const {
        return volume + ((at_batch * grid.x + x) * grid.y + y) * count;
    }
    // A line of the volume; zeros outside. Unless `direct` it is expanded into a buffer.
    const T* read(int64_t x, int64_t y, int slot) {
        const bool outside = x < 0 || y < 0 || x >= grid.x || y >= grid.y;
        if (!outside && direct()) return line_of(x, y);
        T* line = line_buffer[slot];
        if (outside || field.stride() > field.channels) std::memset(line, 0, count * sizeof(T));
        if (!outside) expand_line(field, grid, volume, at_batch, x, y, field.stride(), line);
        return line;
    }
    void prepare(int64_t y) {
        const int turn = static_cast<int>((y + 3) % 3);
        plane[turn] = read(at_x, y, turn);
        if (direct()) prefetch(line_of(at_x + 2, y), count);  // volumes follow each other in memory
        const T *before = read(at_x - 1, y, 3), *after = read(at_x + 1, y, 4);
        F* sum = sum_buffer[turn];
        for (int64_t j = 0; j < count; j += S::lanes) S::store(sum + j, load(before, j) + load(after, j));
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
        return scratch<T, PURPOSE>(NeighbourLines<T>::LINES * line_memory(source));
    }
    template <int PURPOSE>
    Word<T>* wide_lines(int source) const {
        return scratch<Word<T>, PURPOSE>(NeighbourLines<T>::SUMS * line_memory(source));
    }
};

}  // namespace shd
