"""Tables in, figures out, one module per figure; none of them reads a file.

Figures are drawn for the width of a README (860 px), in colours that colour-blind readers can tell
apart, and the same table gives the same bytes. matplotlib is imported without pyplot, so no display
and no global state is involved. Places are given in inches from the upper left corner: matplotlib's
own layout takes seconds for a dozen panels.
"""
