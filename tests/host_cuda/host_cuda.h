// A test tool: what a kernel needs to run as C++ on the CPU. Threads of a block are fibers that take turns at every barrier and
// shuffle; blocks run one after another. Filtering is in full float precision, where a GPU has 8 fractional bits.
#pragma once
#define HOST_BUILD 1
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __grid_constant__
#define __launch_bounds__(...)

struct uint3 { unsigned int x, y, z; };
struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline int __popc(unsigned int bits) { return __builtin_popcount(bits); }
inline unsigned int __float_as_uint(float value) { unsigned int bits; std::memcpy(&bits, &value, 4); return bits; }
inline float __uint_as_float(unsigned int bits) { float value; std::memcpy(&value, &bits, 4); return value; }
inline unsigned int atomicOr(unsigned int* word, unsigned int bits) { unsigned int old = *word; *word |= bits; return old; }
inline float atomicAdd(float* number, float more) { float old = *number; *number += more; return old; }
inline unsigned short host_half_bits(float value) { _Float16 half = (_Float16)value; unsigned short bits; std::memcpy(&bits, &half, 2); return bits; }
inline float host_half_value(unsigned short bits) { _Float16 half; std::memcpy(&half, &bits, 2); return (float)half; }

// Fibers

static uint3 threadIdx, blockIdx, blockDim, gridDim;

struct Fiber {
    ucontext_t context;
    uint3 thread;
    bool done;
    float shuffled;
};
static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static size_t current;
static void (*body)(void*);
static void* body_arguments;

static void enter() {
    body(body_arguments);
    fibers[current].done = true;
    swapcontext(&fibers[current].context, &scheduler);
}

inline void yield() {
    size_t own = current;
    swapcontext(&fibers[own].context, &scheduler);
}
inline void __syncthreads() { yield(); }
// All threads of a block come here together, so a shuffle is two turns: all give, then all take.
inline float __shfl_xor_sync(unsigned int, float value, int mask) {
    size_t own = current;
    fibers[own].shuffled = value;
    yield();
    float taken = fibers[own ^ mask].shuffled;
    yield();
    return taken;
}

inline void run_blocks(const unsigned int* grid, const unsigned int* block) {
    constexpr size_t STACK = 64 << 10;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    size_t count = (size_t)block[0] * block[1] * block[2];
    static std::vector<char> stacks;
    stacks.resize(count * STACK);
    fibers.resize(count);
    for (unsigned int z = 0; z < grid[2]; ++z)
        for (unsigned int y = 0; y < grid[1]; ++y)
            for (unsigned int x = 0; x < grid[0]; ++x) {
                blockIdx = {x, y, z};
                for (size_t id = 0; id < count; ++id) {
                    Fiber& fiber = fibers[id];
                    getcontext(&fiber.context);
                    fiber.context.uc_stack.ss_sp = stacks.data() + id * STACK;
                    fiber.context.uc_stack.ss_size = STACK;
                    fiber.context.uc_link = nullptr;
                    makecontext(&fiber.context, enter, 0);
                    fiber.done = false;
                    fiber.thread = {(unsigned)(id % block[0]), (unsigned)(id / block[0] % block[1]), (unsigned)(id / block[0] / block[1])};
                }
                for (size_t left = count; left > 0;) {
                    left = 0;
                    for (size_t id = 0; id < count; ++id) {
                        if (fibers[id].done) continue;
                        current = id;
                        threadIdx = fibers[id].thread;
                        swapcontext(&scheduler, &fibers[id].context);
                        left += !fibers[id].done;
                    }
                }
            }
}

template <class... Types, size_t... Index>
void call_kernel(void (*kernel)(Types...), void** arguments, std::index_sequence<Index...>) {
    kernel(*(std::remove_cv_t<Types>*)arguments[Index]...);
}

template <class... Types>
void launch(void (*kernel)(Types...), const unsigned int* grid, const unsigned int* block, void** arguments) {
    static void (*the_kernel)(Types...);
    the_kernel = kernel;
    body = [](void* given) { call_kernel(the_kernel, (void**)given, std::index_sequence_for<Types...>{}); };
    body_arguments = arguments;
    run_blocks(grid, block);
}

#define HOST_KERNEL(name) \
    extern "C" void launch_##name(const unsigned int* grid, const unsigned int* block, void** arguments) { launch(name, grid, block, arguments); }

// Textures: the law of bridge/twin/sampler.py, in float

typedef unsigned long long cudaTextureObject_t;
typedef unsigned long long cudaSurfaceObject_t;

struct HostLevel {
    unsigned char* data;
    int width, height, layers, texel_bytes;
};
struct HostTexture {
    int max_level;
    float beyond;  // the border's value
    HostLevel level[16];
};

template <class T>
T& surface_texel(cudaSurfaceObject_t surface, int x_bytes, int y, int layer) {
    HostLevel& level = *(HostLevel*)surface;
    if (x_bytes < 0 || x_bytes + (int)sizeof(T) > level.width * level.texel_bytes || y < 0 || y >= level.height || layer < 0
        || layer >= level.layers)
        std::abort();  // out of bounds
    return *(T*)(level.data + (((size_t)layer * level.height + y) * level.width) * level.texel_bytes + x_bytes);
}
template <class T>
void surf2DLayeredwrite(T value, cudaSurfaceObject_t surface, int x_bytes, int y, int layer) {
    std::memcpy(&surface_texel<unsigned char>(surface, x_bytes + (int)sizeof(T) - 1, y, layer) - (sizeof(T) - 1), &value, sizeof(T));
}
template <class T>
T surf2DLayeredread(cudaSurfaceObject_t surface, int x_bytes, int y, int layer) {
    T value;
    std::memcpy(&value, &surface_texel<unsigned char>(surface, x_bytes + (int)sizeof(T) - 1, y, layer) - (sizeof(T) - 1), sizeof(T));
    return value;
}

inline float4 host_texel(const HostTexture& texture, const HostLevel& level, int x, int y, int layer) {
    if (x < 0 || x >= level.width || y < 0 || y >= level.height) return {texture.beyond, texture.beyond, texture.beyond, texture.beyond};
    const unsigned char* first = level.data + (((size_t)layer * level.height + y) * level.width + x) * level.texel_bytes;
    float value[4] = {};
    for (int i = 0; i < 4; ++i) {
        if (level.texel_bytes < 4) { if (i < level.texel_bytes) value[i] = first[i] / 255.0f; }
        else if (level.texel_bytes == 4) value[i] = first[i] / 255.0f;
        else if (level.texel_bytes == 8) { unsigned short bits; std::memcpy(&bits, first + 2 * i, 2); value[i] = host_half_value(bits); }
        else std::memcpy(&value[i], first + 4 * i, 4);
    }
    return {value[0], value[1], value[2], value[3]};
}
inline void host_add(float4& sum, float weight, float4 value) {
    sum.x += weight * value.x; sum.y += weight * value.y; sum.z += weight * value.z; sum.w += weight * value.w;
}
inline void host_bilinear(float4& sum, float share, const HostTexture& texture, const HostLevel& level, float u, float v, int layer) {
    float x = u * level.width - 0.5f, y = v * level.height - 0.5f;
    float left = std::floor(x), top = std::floor(y);
    float fx = x - left, fy = y - top;
    // far outside an int would overflow, and every texel is the border's
    if (left < -2 || left > level.width + 1 || top < -2 || top > level.height + 1) {
        host_add(sum, share, {texture.beyond, texture.beyond, texture.beyond, texture.beyond});
        return;
    }
    int i = (int)left, j = (int)top;
    host_add(sum, share * (1 - fx) * (1 - fy), host_texel(texture, level, i, j, layer));
    host_add(sum, share * fx * (1 - fy), host_texel(texture, level, i + 1, j, layer));
    host_add(sum, share * (1 - fx) * fy, host_texel(texture, level, i, j + 1, layer));
    host_add(sum, share * fx * fy, host_texel(texture, level, i + 1, j + 1, layer));
}
template <class T>
T tex2DLayeredLod(cudaTextureObject_t object, float u, float v, int layer, float lod) {
    const HostTexture& texture = *(const HostTexture*)object;
    if (layer < 0 || layer >= texture.level[0].layers) std::abort();
    lod = std::fmin(std::fmax(lod, 0.0f), (float)texture.max_level);
    int lower = (int)std::floor(lod);
    float blend = lod - lower;
    float4 sum = {0, 0, 0, 0};
    host_bilinear(sum, 1 - blend, texture, texture.level[lower], u, v, layer);
    if (blend > 0) host_bilinear(sum, blend, texture, texture.level[lower + 1], u, v, layer);
    return sum;
}
