"""The viewer in a browser: pictures over one web socket, mouse, keys and settings back."""
