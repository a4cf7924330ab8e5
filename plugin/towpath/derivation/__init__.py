"""The derivation: from the world to views, conditions and objects. Every module is pure."""
