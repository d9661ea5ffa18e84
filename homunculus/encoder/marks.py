"""What the model that ships has words for: marks of six shapes in six colours, and values of three digits."""

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross")
COLORS = {
    "red": (205, 30, 40),
    "green": (30, 140, 60),
    "blue": (35, 70, 205),
    "orange": (245, 145, 20),
    "purple": (130, 45, 170),
    "pink": (245, 125, 185),
}
MARKS = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)
DIGITS = 3
