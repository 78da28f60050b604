"""Between ``extract`` and ``match``: which gallery crops each query crop is worth comparing with.

```python
index = build_index(folder, gallery_crop_ids, descriptors, params, descriptor_fingerprint)
votes = search(index, queries, params, allowed=allowed_by_grids(grids, index.crop_ids)(queries))
plans = shortlisted(grids, votes, params.k)
```
"""
