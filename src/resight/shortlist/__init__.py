"""Between ``extract`` and ``match``: which gallery crops each query crop is worth comparing with.

```python
index = build_index(folder, gallery_crop_ids, descriptors, params, descriptor_fingerprint)
votes = search(index, queries, params, allowed=allowed_by_plan(plan, index.crop_ids))
plan = apply_shortlist(plan, votes, params.k)
```
"""
