"""After surgery: did the specimen lie in its mould as planned? A slab's photograph or a surface scan against the plan.

``planned`` says what was planned, ``photo`` reads a slab's mask, ``rigid`` and ``solid`` lay outlines and surfaces on
each other, ``slab`` and ``scan`` draw the conclusions (``verdict``).
"""
