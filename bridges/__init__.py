"""What runs inside a sandbox beside a program that does not serve the contract by itself.

Imports nothing of cattery: it is copied alone into the tools folder and into images.
"""
