"""HEP: the supervised classifier of the "15 PF" paper, three channels of the whole detector.

After Kurth et al., "Deep Learning at 15PF: Supervised and Semi-Supervised Classification for
Scientific Data" (arXiv:1708.05256), and NERSC's ``hep_cnn_benchmark``, where code and text say
more. The task is that of ``rpv``, and so are the simulated partons and the physicists' cuts.
"""
