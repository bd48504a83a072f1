"""Pictures of results, drawn by matplotlib without a display, and pages of them.

- `figures`       the picture of one fit: fODFs on three planes and the training curve
- `phantom_figure` a phantom: tissues, directions, true fODFs
- `streamline_figure`  a tractogram over anatomical planes
- `trial_figure`  methods on phantoms: glyphs and error maps
- `evaluation_figure`, `prediction_figure`  what `shd evaluate` draws, with truth and without
- `map_figure`    scalar maps on three planes
- `result_figures` the pictures of a result's page: `fod_drawing`, `response_curves` and more in one
- `result_numbers`, `concerns`, `outliers`  what a page says: numbers, what to look at, what is far from others
- `page`          HTML; `result_section`, `group_section`, `bids_page`: what stands on pages, of it
- `planes`        which slice, which window, and where scanner axes point on the page
- `glyphs`        fODFs as lit surfaces coloured by direction
- `raster`        the compiled triangle painter under the glyphs
- `curves`        the loss terms over the steps of training
"""
