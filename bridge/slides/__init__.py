"""Files that are read a tile at a time: slides, maps, pages at any zoom. One file and one row a reader."""
