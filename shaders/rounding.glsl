// Narrower floats, rounded to nearest, ties to even. GLSL leaves the rounding of packHalf2x16 and of image stores to the driver;
// llvmpipe truncates. A value that is already representable converts exactly everywhere.

float nearest_half(float value) {
    if (abs(value) < 6.103515625e-5) {  // 2^-14: below it halves are subnormal, spaced 2^-24
        return roundEven(value * 16777216.0) / 16777216.0;
    }
    uint bits = floatBitsToUint(value);
    return uintBitsToFloat((bits + 0xfffu + ((bits >> 13) & 1u)) & 0xffffe000u);
}

uint bfloat16_bits(float value) {
    uint bits = floatBitsToUint(value);
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
