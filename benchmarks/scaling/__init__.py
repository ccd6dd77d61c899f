"""What training costs beyond these machines: formulas, the tables of docs/scaling.md, and small cases measured.

costs      formulas: parameters, memory, operations, bytes between processes and on disk
hardware   what is assumed of GPUs, networks and prices
tables     both together, as the document's tables
training   small trainings of the project's own learner, watched
measured   what is measured of them, beside the formulas
"""
