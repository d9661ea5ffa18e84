// Narrower floats as bits, rounded to nearest, ties to even: what rounding.glsl does for drivers that do not.

__device__ inline unsigned short half_bits(float value) {
#ifdef HOST_BUILD
    return host_half_bits(value);
#else
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#endif
}

__device__ inline float half_value(unsigned short bits) {
#ifdef HOST_BUILD
    return host_half_value(bits);
#else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#endif
}
