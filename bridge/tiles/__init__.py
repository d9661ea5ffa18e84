"""Pictures of which only what is looked at is read: tiles, the dyadic tree over them, and the pages that hold them on a device."""
