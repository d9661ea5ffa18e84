#version 430

flat in vec3 line_color;
in float away_px;

uniform float width_px;

out vec4 color;

void main() {
    float cover = clamp(0.5 * width_px + 0.5 - abs(away_px), 0.0, 1.0);
    if (cover < 0.02) discard;
    color = vec4(line_color, cover);
}
