"""Climate boxes: storms in frames of a climate simulation, of which only some have labels.

After Kurth et al., "Deep Learning at 15PF: Supervised and Semi-Supervised Classification for
Scientific Data" (arXiv:1708.05256), whose detector's code is ``eracah/hur-detect``, and Racah et
al., "ExtremeWeather" (NIPS 2017), which describes the data. There are four classes, tropical
depressions and cyclones, extratropical cyclones, atmospheric rivers (a deck says seven; code and
data have four); ``climate_masks`` is another case, of pixels and three classes.
"""
