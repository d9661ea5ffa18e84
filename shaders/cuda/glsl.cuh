// What a compute shader that reads and writes buffers, and no texture, needs in order to be CUDA: GLSL's types and functions under
// GLSL's names. shaders/__init__.py turns the declarations; the statements stay as they are.

typedef unsigned int uint;

struct vec2 {
    float x, y;
    vec2() = default;
    __device__ constexpr vec2(float value) : x(value), y(value) {}
    __device__ constexpr vec2(float x, float y) : x(x), y(y) {}
};

struct vec4 {
    float x, y, z, w;
    __device__ vec4(vec2 a, vec2 b) : x(a.x), y(a.y), z(b.x), w(b.y) {}
    __device__ vec4(vec2 a, float z, float w) : x(a.x), y(a.y), z(z), w(w) {}
    __device__ vec4(float x, float y, float z, float w) : x(x), y(y), z(z), w(w) {}
};

struct ivec2 {
    int x, y;
    ivec2() = default;
    __device__ ivec2(int value) : x(value), y(value) {}
    __device__ ivec2(int x, int y) : x(x), y(y) {}
};

struct bvec2 {
    bool x, y;
};

struct uvec3 {
    uint x, y;
    ivec2 xy;
    __device__ uvec3(uint x, uint y) : x(x), y(y), xy((int)x, (int)y) {}
};

__device__ inline vec2 operator+(vec2 a, vec2 b) { return vec2(a.x + b.x, a.y + b.y); }
__device__ inline vec2 operator-(vec2 a, vec2 b) { return vec2(a.x - b.x, a.y - b.y); }
__device__ inline vec2 operator*(vec2 a, vec2 b) { return vec2(a.x * b.x, a.y * b.y); }
__device__ inline vec2 operator/(vec2 a, vec2 b) { return vec2(a.x / b.x, a.y / b.y); }
__device__ inline vec2 operator-(vec2 a) { return vec2(-a.x, -a.y); }
__device__ inline vec2 min(vec2 a, vec2 b) { return vec2(fminf(a.x, b.x), fminf(a.y, b.y)); }
__device__ inline vec2 max(vec2 a, vec2 b) { return vec2(fmaxf(a.x, b.x), fmaxf(a.y, b.y)); }
__device__ inline vec2 abs(vec2 a) { return vec2(fabsf(a.x), fabsf(a.y)); }
__device__ inline vec2 clamp(vec2 a, vec2 low, vec2 high) { return min(max(a, low), high); }
__device__ inline float dot(vec2 a, vec2 b) { return a.x * b.x + a.y * b.y; }
__device__ inline float length(vec2 a) { return sqrtf(dot(a, a)); }
__device__ inline bvec2 greaterThan(vec2 a, vec2 b) { return {a.x > b.x, a.y > b.y}; }
__device__ inline vec2 mix(vec2 a, vec2 b, bvec2 second) { return vec2(second.x ? b.x : a.x, second.y ? b.y : a.y); }

__device__ inline ivec2 operator+(ivec2 a, ivec2 b) { return ivec2(a.x + b.x, a.y + b.y); }
__device__ inline ivec2 operator*(ivec2 a, int b) { return ivec2(a.x * b, a.y * b); }
__device__ inline ivec2 operator*(int a, ivec2 b) { return b * a; }
__device__ inline ivec2 operator>>(ivec2 a, int bits) { return ivec2(a.x >> bits, a.y >> bits); }
__device__ inline ivec2 max(ivec2 a, int b) { return ivec2(a.x > b ? a.x : b, a.y > b ? a.y : b); }
__device__ inline bvec2 lessThan(ivec2 a, ivec2 b) { return {a.x < b.x, a.y < b.y}; }
__device__ inline bool all(bvec2 a) { return a.x && a.y; }

__device__ inline float abs(float a) { return fabsf(a); }
__device__ inline float min(float a, float b) { return fminf(a, b); }
__device__ inline float max(float a, float b) { return fmaxf(a, b); }
__device__ inline float sqrt(float a) { return sqrtf(a); }
__device__ inline float round(float a) { return rintf(a); }
__device__ inline float ldexp(float a, int exponent) { return ldexpf(a, exponent); }
__device__ inline float frexp(float a, int& exponent) { return frexpf(a, &exponent); }
__device__ inline int bitCount(uint bits) { return __popc(bits); }
__device__ inline uint atomicOr(uint& word, uint bits) { return atomicOr(&word, bits); }
__device__ inline void barrier() { __syncthreads(); }
__device__ inline void memoryBarrierShared() {}

#define gl_LocalInvocationIndex (threadIdx.y * blockDim.x + threadIdx.x)
#define gl_LocalInvocationID uvec3(threadIdx.x, threadIdx.y)
#define gl_WorkGroupID uvec3(blockIdx.x, blockIdx.y)
#define gl_NumWorkGroups uvec3(gridDim.x, gridDim.y)
#define gl_GlobalInvocationID uvec3(blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y * blockDim.y + threadIdx.y)
