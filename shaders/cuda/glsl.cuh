// GLSL for CUDA: the types and functions of compute shaders, under GLSL's names, for text that shaders/translate.py has turned.
// A vector is an array, and a swizzle an index into it: `v.y` is `v[1]`, `v.zx` is `v.swizzle<2, 0>()`, which cannot be written to.
// A shader that needs what is not here does not compile, and the compiler names its line.
#include "cuda/texels.cuh"

#define gl_LocalInvocationIndex (threadIdx.y * blockDim.x + threadIdx.x)
#define gl_LocalInvocationID uvec3(threadIdx.x, threadIdx.y, threadIdx.z)
#define gl_WorkGroupID uvec3(blockIdx.x, blockIdx.y, blockIdx.z)
#define gl_NumWorkGroups uvec3(gridDim.x, gridDim.y, gridDim.z)
#define gl_GlobalInvocationID (gl_WorkGroupID * uvec3(blockDim.x, blockDim.y, blockDim.z) + gl_LocalInvocationID)

namespace shader {

typedef unsigned int uint;

__device__ constexpr int min(int a, int b) { return a < b ? a : b; }
__device__ constexpr int max(int a, int b) { return a > b ? a : b; }
__device__ inline float abs(float a) { return fabsf(a); }
__device__ inline float min(float a, float b) { return fminf(a, b); }
__device__ inline float max(float a, float b) { return fmaxf(a, b); }
__device__ inline float clamp(float a, float low, float high) { return fminf(fmaxf(a, low), high); }
__device__ inline float sqrt(float a) { return sqrtf(a); }
__device__ inline float exp2(float a) { return exp2f(a); }
__device__ inline float log2(float a) { return log2f(a); }
__device__ inline float floor(float a) { return floorf(a); }
__device__ inline float ceil(float a) { return ceilf(a); }
__device__ inline float round(float a) { return rintf(a); }
__device__ inline float roundEven(float a) { return rintf(a); }
__device__ inline float ldexp(float a, int exponent) { return ldexpf(a, exponent); }
__device__ inline float frexp(float a, int& exponent) { return frexpf(a, &exponent); }

// A statement for each component i. No loop, which a compiler would take twice as long to unroll and keep in registers.
#define AT(k, count, statement) if constexpr (count > k) { constexpr int i = k; statement; }
#define ALL(count, statement) AT(0, count, statement) AT(1, count, statement) AT(2, count, statement) AT(3, count, statement)
// One definition for vectors and, because a number becomes a vector of it, for a vector and a number.
#define EACH(name, arguments, value) __device__ friend constexpr Vector name arguments { ALL(N, a.at[i] = value) return a; }
#define COMPARED(name, operator)                                           \
    __device__ friend constexpr Vector<bool, N> name(Vector a, Vector b) { \
        Vector<bool, N> result;                                            \
        ALL(N, result.at[i] = a.at[i] operator b.at[i])                    \
        return result;                                                     \
    }

template <class T, int N>
struct Vector;
template <class T>
constexpr int components = 1;
template <class T, int N>
constexpr int components<Vector<T, N>> = N;

template <class T, int N>
struct alignas(N == 2 || N == 4 ? N * sizeof(T) : sizeof(T)) Vector {
    T at[N];

    Vector() = default;
    __device__ constexpr Vector(T value) { ALL(N, at[i] = value) }
    template <class U>
    __device__ explicit constexpr Vector(Vector<U, N> other) { put(0, other); }
    template <class A, class B, class... More>
    __device__ constexpr Vector(A a, B b, More... more) {
        static_assert((components<A> + ... + components<More>) + components<B> == N, "a vector takes as many components as it has");
        int filled = put(put(0, a), b);
        ((filled = put(filled, more)), ...);
    }

    __device__ constexpr T& operator[](int i) { return at[i]; }
    __device__ constexpr const T& operator[](int i) const { return at[i]; }
    template <int... I>
    __device__ constexpr Vector<T, sizeof...(I)> swizzle() const {
        return Vector<T, sizeof...(I)>(at[I]...);
    }

    EACH(operator+, (Vector a, Vector b), a[i] + b[i])
    EACH(operator-, (Vector a, Vector b), a[i] - b[i])
    EACH(operator*, (Vector a, Vector b), a[i] * b[i])
    EACH(operator/, (Vector a, Vector b), a[i] / b[i])
    EACH(operator>>, (Vector a, Vector b), a[i] >> b[i])
    EACH(operator-, (Vector a), -a[i])
    EACH(operator+=, (Vector& a, Vector b), a[i] + b[i])
    EACH(operator*=, (Vector& a, Vector b), a[i] * b[i])
    EACH(abs, (Vector a), abs(a[i]))
    EACH(min, (Vector a, Vector b), min(a[i], b[i]))
    EACH(max, (Vector a, Vector b), max(a[i], b[i]))
    EACH(clamp, (Vector a, Vector low, Vector high), min(max(a[i], low[i]), high[i]))
    EACH(mix, (Vector a, Vector b, Vector<bool, N> second), second[i] ? b[i] : a[i])
    COMPARED(lessThan, <)
    COMPARED(greaterThan, >)
    COMPARED(greaterThanEqual, >=)

    __device__ friend constexpr T dot(Vector a, Vector b) {
        T sum = 0;
        ALL(N, sum += a[i] * b[i])
        return sum;
    }
    __device__ friend T length(Vector a) { return sqrt(dot(a, a)); }

  private:
    template <class U>
    __device__ constexpr int put(int first, U value) {
        at[first] = (T)value;
        return first + 1;
    }
    template <class U, int M>
    __device__ constexpr int put(int first, Vector<U, M> values) {
        ALL(M, at[first + i] = (T)values.at[i])
        return first + M;
    }
};

template <int N>
__device__ constexpr bool all(Vector<bool, N> a) {
    bool result = true;
    ALL(N, result = result && a[i])
    return result;
}
template <int N>
__device__ constexpr bool any(Vector<bool, N> a) {
    bool result = false;
    ALL(N, result = result || a[i])
    return result;
}

typedef Vector<float, 2> vec2;
typedef Vector<float, 3> vec3;
typedef Vector<float, 4> vec4;
typedef Vector<int, 2> ivec2;
typedef Vector<int, 3> ivec3;
typedef Vector<int, 4> ivec4;
typedef Vector<uint, 3> uvec3;

// By columns, given as vectors or number by number.
template <int N>
struct Matrix {
    Vector<float, N> columns[N];

    template <class... A>
    __device__ constexpr Matrix(A... a) {
        Vector<float, N * N> numbers(a...);
        for (int k = 0; k < N * N; ++k) {
            columns[k / N][k % N] = numbers[k];
        }
    }
    __device__ constexpr Vector<float, N> operator[](int column) const { return columns[column]; }
    __device__ friend constexpr Vector<float, N> operator*(const Matrix& a, Vector<float, N> b) {
        Vector<float, N> sum(0.0f);
        ALL(N, sum += a.columns[i] * b[i])
        return sum;
    }
};

typedef Matrix<2> mat2;
typedef Matrix<4> mat4;

__device__ inline uint floatBitsToUint(float value) { return __float_as_uint(value); }
__device__ inline float uintBitsToFloat(uint bits) { return __uint_as_float(bits); }
__device__ inline uint packHalf2x16(vec2 a) { return half_bits(a[0]) | (uint)half_bits(a[1]) << 16; }
__device__ inline int bitCount(uint bits) { return __popc(bits); }
__device__ inline uint atomicOr(uint& word, uint bits) { return ::atomicOr(&word, bits); }
__device__ inline float atomicAdd(float& number, float more) { return ::atomicAdd(&number, more); }
__device__ inline void barrier() { __syncthreads(); }
__device__ inline void memoryBarrierShared() {}

// Textures and images. The same members, in the same order, in bridge/cuda/pyramid.py.

struct sampler2DArray {
    cudaTextureObject_t texture;
    cudaSurfaceObject_t levels[16];
    int width, height, layers;
    int bits;  // of a channel as stored
};

// Of format rgba32f.
struct image2DArray {
    cudaSurfaceObject_t surface;
    int width, height, layers;
};

__device__ inline vec4 textureLod(const sampler2DArray& pyramid, vec3 point, float lod) {
    int layer = (int)clamp(rintf(point[2]), 0.0f, (float)(pyramid.layers - 1));
    float4 value = tex2DLayeredLod<float4>(pyramid.texture, point[0], point[1], layer, lod);
    return vec4(value.x, value.y, value.z, value.w);
}
// Through the surface: a texture object with mip levels has no fetch without a filter.
__device__ inline vec4 texelFetch(const sampler2DArray& pyramid, ivec3 place, int level) {
    float4 value = load(pyramid.levels[level], pyramid.bits, place[0], place[1], place[2]);
    return vec4(value.x, value.y, value.z, value.w) / one(pyramid.bits);
}
__device__ inline ivec3 textureSize(const sampler2DArray& pyramid, int level) {
    return ivec3(max(pyramid.width >> level, 1), max(pyramid.height >> level, 1), pyramid.layers);
}
__device__ inline ivec3 imageSize(const image2DArray& image) { return ivec3(image.width, image.height, image.layers); }
__device__ inline void imageStore(const image2DArray& image, ivec3 place, vec4 value) {
    surf2DLayeredwrite(make_float4(value[0], value[1], value[2], value[3]), image.surface, place[0] * 16, place[1], place[2]);
}

}  // namespace shader
