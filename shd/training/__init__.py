"""Learning: what is minimised, one step of it, and the fit of one subject.

- `losses`      one file a term; `objective` adds them with their weights
- `schedule`    learning rate over the budget
- `subject`     training on one scan, resumable step by step
- `settings`    every choice of a fit, with the defaults for this machine
"""
