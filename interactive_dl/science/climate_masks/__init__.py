"""Climate masks: which pixels of a frame are a tropical cyclone, which an atmospheric river.

After Kurth et al., "Exascale Deep Learning for Climate Analytics" (arXiv:1810.01993), its code
(``azrael417/ClimDeepLearn``, ``sparticlesteve/climate-seg-benchmark``) and MLPerf HPC's DeepCAM.
Frames are 768x1152 pixels in all of them; where one of the slides says 1156, it is a slip. This is
another task than the boxes of arXiv:1708.05256.
"""
