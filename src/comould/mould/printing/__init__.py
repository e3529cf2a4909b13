"""What a printer makes of a mesh: walls, overhangs, trapped fluid, the bed, time and plastic.

Everything is measured on the triangles of any mesh in mm whose z axis is the way up on the print bed.
"""
