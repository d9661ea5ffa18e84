"""How well answers, layouts and models do: judges, data sets in their official formats, and intervals."""
