// A value as a colour: rows of a texture, whose first and last texel are the first and last stop.

layout(binding = 4) uniform sampler2D palette;  // row 0: levels of detail, row 1: heat

vec3 stop(float place, float row) {
    float width = float(textureSize(palette, 0).x);
    return textureLod(palette, vec2((clamp(place, 0.0, 1.0) * (width - 1.0) + 0.5) / width, row), 0.0).rgb;
}

vec3 lod_color(float lod) { return stop(lod / 6.0, 0.25); }

vec3 heat_color(float value) { return stop(value, 0.75); }
