"""That it is here lets the folders below import what they share: tiny_material, hand_set_heads."""
