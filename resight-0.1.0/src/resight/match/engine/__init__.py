"""LightGlue's arithmetic, rearranged: same checkpoints and scores as ``kornia.feature.LightGlue``, less work per pair.

What depends on one photo only is computed once per photo (`LightGlueEngine.encode`); what depends on a pair is done
without padding on CPU, and in masked batches on CUDA, so that a score never depends on batch mates.
"""
